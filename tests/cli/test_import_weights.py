"""`ugf import` and `ugf export --format=hf` as a user types them."""

import importlib.util
import json
import pathlib
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from ugf_jax.cli import app, evaluate, export, import_weights, prepare
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_DONE
from ugf_jax.interop import tokenizer_run
from ugf_jax.models.auxiliary import AuxiliarySettings

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "interop"
TEXT = f"--text_tokenizer={FOLDER / 'tokenizer.json'}"


def call(module, verb, *arguments):
    module.FLAGS.unparse_flags()
    for name in module.FLAGS:
        module.FLAGS[name].unparse()
    return app.call(verb, module.__doc__, module.FLAGS, module.main, [str(a) for a in arguments])


def test_there_and_back(tmp_path, capsys):
    source = FOLDER / "chameleon-0"
    assert call(import_weights, "import", source, tmp_path / "model", TEXT) == EXIT_DONE
    assert "Chameleon, 2 layers of width 24, 96 ids" in capsys.readouterr().out
    assert call(export, "export", tmp_path / "model", tmp_path / "hf", "--format=hf") == EXIT_DONE
    first, again = (safetensors.numpy.load_file(folder / "model.safetensors") for folder in (source, tmp_path / "hf"))
    assert {name: x.tobytes() for name, x in first.items()} == {name: x.tobytes() for name, x in again.items()}


def test_a_dry_run_says_all_and_writes_nothing(tmp_path, capsys):
    arguments = (FOLDER / "llama-1", tmp_path / "out", "--dry-run", f"--vision={FOLDER / 'siglip-0'}")
    assert call(import_weights, "import", *arguments) == EXIT_DONE
    out = capsys.readouterr().out
    assert "Llama, 4 layers" in out
    assert "fusion/layers/gate [1] <- new" in out
    assert "fusion/embed/embedding [1280, 24] <- model.embed_tokens.weight, 1184 rows of the mean added" in out
    assert "fusion/vision/positions [25, 24] <- vision_model.embeddings.position_embedding.weight" in out
    assert "not used: vision_model.head.probe (pools the features, which here stay apart)" in out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "want SOURCE and OUT, got 0 arguments"),
        (("nowhere", "out"), "nowhere: no such file or folder"),
        ((FOLDER / "siglip-0", "out"), "a SigLIP vision tower, a part of a model; give it as --vision"),
        ((FOLDER / "llama-0", "out", f"--vision={FOLDER / 'llama-0'}"), "no vision tower of SigLIP in it"),
        ((FOLDER / "llama-0", "out", "--cross_every=3", TEXT), "--cross_every is 3; want a number that divides"),
        ((FOLDER / "chameleon-0", "out", "--cross_every=1", TEXT), "--cross_every without memory"),
        ((FOLDER / "chameleon-0", "out", "--memory_width=8", TEXT), "--memory_width without memory"),
        ((FOLDER / "llama-0", "out", "--memory_width=9", TEXT), "--memory.width is 9; want a multiple of --memory.heads, 4"),
        ((FOLDER / "llama-0", "out", "--dtype=int4"), "int4"),
        ((FOLDER / "llama-0", "out", "--size=64"), "--size is for an image tokenizer alone"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(capsys, monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert call(import_weights, "import", *arguments) == EXIT_BAD_INPUT
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_nothing_known_is_named(capsys, tmp_path):
    source = shutil.copytree(FOLDER / "llama-0", tmp_path / "source")
    for content, message in (('{"model_type": "mamba"}', "model_type is 'mamba'"), ("{}", "what it is cannot be told")):
        (source / "config.json").write_text(content)
        assert call(import_weights, "import", source, tmp_path / "out") == EXIT_BAD_INPUT
        assert message in capsys.readouterr().err


@pytest.fixture
def image_tokenizer(tmp_path):
    """A file with the random weights of a small VQ-GAN."""
    fixtures = FOLDER.parent
    spec = importlib.util.spec_from_file_location("make_image_tokenizers", fixtures / "make_image_tokenizers.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names = json.loads((fixtures / "image_tokenizers.json").read_text())
    path = tmp_path / "vqgan.safetensors"
    safetensors.numpy.save_file(module.random_tensors(names["chameleon"]), path)
    return path


def test_a_dry_run_of_an_image_tokenizer_says_all_and_writes_nothing(image_tokenizer, tmp_path, capsys):
    assert call(import_weights, "import", image_tokenizer, tmp_path / "out", "--dry-run") == EXIT_DONE
    said = capsys.readouterr().out
    assert "VQ-GAN (chameleon), 64 codes of 8 features, 2 pixels a code" in said
    assert "<- decoder.conv_in.weight, axes 2, 3, 1, 0" in said
    assert list(tmp_path.iterdir()) == [image_tokenizer]


@pytest.mark.slow
def test_an_image_tokenizer_becomes_a_run_that_is_evaluated(image_tokenizer, tmp_path, capsys, monkeypatch):
    small = AuxiliarySettings(patch=8, window=2, width=16, depth=2, heads=2, groups=1)
    monkeypatch.setattr(tokenizer_run, "AuxiliarySettings", lambda: small)
    out = tmp_path / "run"
    assert call(import_weights, "import", image_tokenizer, out, "--size=16") == EXIT_DONE
    assert f"{out}: a run of stage tokenizer at step 0" in capsys.readouterr().out
    (tmp_path / "pictures").mkdir()
    for i in range(2):
        Image.fromarray(np.full((16, 16, 3), 90 * i, np.uint8)).save(tmp_path / "pictures" / f"{i}.png")
    assert call(prepare, "prepare", tmp_path / "pictures", tmp_path / "data", "--workers=1") == EXIT_DONE
    arguments = (f"--workdir={out}", "--tasks=reconstruction", f"--data={tmp_path / 'data'}")
    assert call(evaluate, "evaluate", *arguments) == EXIT_DONE
    results = json.loads((out / "evaluation" / "results.json").read_text())["reconstruction"]
    assert results["full"]["psnr"] == results["master"]["psnr"]  # the auxiliary tokenizer paints nothing yet
    assert results["master"]["tokens"]["value"] == 64


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--memory", "--memory: .* is an image tokenizer alone; leave the flag out"),
        ("--dtype=float16", "--dtype: .* is an image tokenizer alone"),
        ("--size=15", "size is 15; want a multiple of"),
        ("--text_tokenizer=none.json", r"none\.json"),
    ],
)
def test_flags_of_other_imports_are_refused(image_tokenizer, tmp_path, capsys, flag, message):
    assert call(import_weights, "import", image_tokenizer, tmp_path / "out", flag) == EXIT_BAD_INPUT
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "out").exists()
