"""One self-contained page: no script, no font, no picture from elsewhere."""

import dataclasses
import importlib.resources
import json
from typing import Any

import jinja2
from etils import epath

from ugf_jax.evaluation.gallery import Picture


@dataclasses.dataclass(frozen=True)
class Card:
    """A headline figure: what it is, its value, what follows it in small (error, unit), and a remark below."""

    label: str
    value: str
    after: str = ""
    remark: str = ""


@dataclasses.dataclass(frozen=True)
class Plot:
    """An SVG element with its title and a sentence on how to read it."""

    title: str
    svg: str
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text under column names; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Exhibit:
    """Pictures of one image side by side."""

    title: str
    remark: str
    pictures: list[Picture]


@dataclasses.dataclass(frozen=True)
class Section:
    """What a task contributes to the page, in this order; each part may be empty."""

    title: str
    introduction: str = ""
    cards: list[Card] = dataclasses.field(default_factory=list)
    plots: list[Plot] = dataclasses.field(default_factory=list)
    tables: list[Table] = dataclasses.field(default_factory=list)
    gallery_note: str = ""
    exhibits: list[Exhibit] = dataclasses.field(default_factory=list)


def write_report(
    path: epath.PathLike, title: str, sections: list[Section], run: dict[str, Any], config: dict[str, Any]
) -> None:
    """Writes the page, whole or not at all.

    Args:
      path: of the HTML file.
      title: heading of the page.
      sections: one or more for each task.
      run: `command`, `checkpoint`, `dataset`, `versions` and `tasks`, as in results.json under `run`.
      config: of the training run, shown as JSON.
    """
    templates = importlib.resources.files("ugf_jax.evaluation") / "templates"
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    template = environment.from_string((templates / "report.html").read_text(encoding="utf-8"))
    page = template.render(title=title, sections=sections, run=run, config=json.dumps(config, indent=2))
    path = epath.Path(path)
    partial = path.parent / f".{path.name}.partial"
    partial.write_text(page)
    partial.replace(path)
