"""Tests run on eight virtual CPU devices, so that sharding is real; set before JAX is first imported.

Most of their time is compiling small programs, so the compiler is told not to optimise.
"""

import importlib.metadata
import os

import pytest

flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
if importlib.metadata.version("jaxlib").startswith("0.10."):  # later ones have no such choice
    flags += " --xla_cpu_use_fusion_emitters=false"  # the emitters take two thirds of the time to compile
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", flags)


def pytest_terminal_summary(terminalreporter):
    """Says plainly which tests were left out, and why."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped:
        terminalreporter.section("left out")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.write_line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


@pytest.fixture
def bucket(monkeypatch):
    """`gs://ours`, an object store in memory: nothing is asked of a network."""
    import fsspec
    from etils.epath import backend
    from fsspec.implementations.memory import MemoryFileSystem

    class Store(MemoryFileSystem):
        protocol = ("gs", "gcs")
        store, pseudo_dirs = {}, [""]
        _strip_protocol = classmethod(lambda cls, path: MemoryFileSystem._strip_protocol(path.removeprefix("gs://")))

    monkeypatch.setattr(
        backend.fsspec_backend, "fs", lambda path: Store() if path[:5] == "gs://" else fsspec.filesystem("file")
    )
    monkeypatch.setattr("etils.epath.gpath._is_zonal_gcs_bucket", lambda bucket: False)
    return "gs://ours"


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """Folder of a whole model with random parameters: 2×2 master codes, patches of 8 pixels, all parts there are."""
    import jax
    import numpy as np

    from ugf_jax.data.text import SHIPPED, TextTokenizer
    from ugf_jax.data.vocabulary import VocabularySettings
    from ugf_jax.generation.details import abstract_params
    from ugf_jax.generation.image_tokenizer import ImageTokenizer
    from ugf_jax.models.auxiliary import AuxiliarySettings
    from ugf_jax.models.detail import DetailSettings
    from ugf_jax.models.fusion import FusionSettings
    from ugf_jax.models.master import MasterSettings
    from ugf_jax.models.memory import MemorySettings
    from ugf_jax.models.quantizers import QuantizerSettings
    from ugf_jax.models.tokenizer import DualTokenizer, TokenizerSettings
    from ugf_jax.models.unmasking import UnmaskSettings
    from ugf_jax.training.bundle import BundleSettings, save_bundle
    from ugf_jax.training.frozen import abstract_params as abstract_fusion

    quantizer = QuantizerSettings(levels=(4, 4))
    tokenizer = TokenizerSettings(
        MasterSettings(size=16, patch=8, width=16, depth=2, heads=2, quantizer=quantizer),
        AuxiliarySettings(patch=8, window=2, width=16, depth=2, heads=2, groups=2, quantizer=quantizer),
    )
    memory = MemorySettings(width=16, groups=2, codes=16, heads=2)
    settings = BundleSettings(
        tokenizer=tokenizer,
        vocabulary=VocabularySettings(text=TextTokenizer.load().size, sizes=8, codes=16),
        model=FusionSettings(
            width=32, depth=2, heads=2, cross_every=1, gate=0.5, grid=2, memory=memory, embedding=8, prompt_mean=True
        ),
        detail=DetailSettings(width=16, depth=2, heads=2, window=2),
        sampling=UnmaskSettings(steps=2),
        grids=((2, 2), (2, 4), (4, 2)),
        steps={"tokenizer": 1, "unified": 2, "detail": 3},
    )
    image = np.zeros((1, 16, 16, 3), np.float32)
    abstract = {
        "tokenizer": jax.eval_shape(lambda: DualTokenizer(tokenizer).init(jax.random.key(0), image)),
        "fusion": abstract_fusion(settings),
        "detail": abstract_params(settings.detail, ImageTokenizer(tokenizer, {})),
    }
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda x: (0.3 * rng.standard_normal(x.shape)).astype(np.float32), abstract)
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    save_bundle(folder, settings, variables, SHIPPED.read_bytes(), "# A model of noise\n", "float32")
    return folder
