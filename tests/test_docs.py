"""Examples in the pages run as they stand, on a small model."""

import pathlib
import re

import pytest

import ugf_jax
from ugf_jax.generation.unified_model import UnifiedModel

DOCS = pathlib.Path(__file__).parent.parent / "docs"


def test_examples_of_the_page_about_generation(tiny_model, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "generation.md").read_text(), re.DOTALL)
    assert len(blocks) >= 5
    model = UnifiedModel.load(tiny_model)
    monkeypatch.setattr(UnifiedModel, "load", classmethod(lambda cls, path=None: model))
    names = {"UnifiedModel": ugf_jax.UnifiedModel}
    for block in blocks:
        # The small model has patches of 8 pixels and grids of up to 8 × 8.
        exec(compile(block.replace("256", "32").replace("384", "48"), "generation.md", "exec"), names)


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda p: p.stem)
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
