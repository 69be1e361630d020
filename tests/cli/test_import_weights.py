"""`ugf import` and `ugf export --format=hf` as a user types them."""

import pathlib
import shutil

import pytest
import safetensors.numpy

from ugf_jax.cli import app, export, import_weights
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_DONE

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
        ((FOLDER / "llama-0", "out", "--dtype=int4"), "int4"),
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
