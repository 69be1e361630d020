"""A run of stage `unitoken` is exported with what it began with, and read again as a published model is."""

import json
import shutil

import jax
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.cli import app
from ugf_jax.cli import export as verb
from ugf_jax.data.unitoken.anyres import AnyResSettings
from ugf_jax.data.unitoken.loader import UniTokenData
from ugf_jax.errors import EXIT_BAD_INPUT, EXIT_DONE, InputError
from ugf_jax.interop.importing import import_model
from ugf_jax.interop.plan import plan_import
from ugf_jax.interop.source import open_source
from ugf_jax.interop.unitoken.export import beginning, export_unitoken
from ugf_jax.interop.unitoken.weights import read_unitoken, token_names
from ugf_jax.training.bundle import UniTokenSettings, load_bundle, read_settings
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.stages.unitoken import Settings
from ugf_jax.training.start import find_start

VISION = AnyResSettings(size=28, patch=14, pinpoints=((28, 56),))


@pytest.fixture(scope="module")
def start(folder, tmp_path_factory):
    """The imported model; its config.json has the names of ids, as Chameleon's has."""
    root = tmp_path_factory.mktemp("start")
    source = shutil.copytree(folder, root / "source")
    values = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps(values | {"vocabulary_map": token_names(source / "tokenizer.json")}))
    import_model(plan_import(open_source(source)), root / "model")
    return root / "model"


def write(run, settings, params):
    with Checkpointer(run / "checkpoints") as checkpoints:
        checkpoints.save(5, {"params": params}, {"config": config.to_json(settings), "data": {}})
    (run / "config.json").write_text(json.dumps(config.to_json(settings)))
    return run


@pytest.fixture(scope="module")
def runs(start, tmp_path_factory):
    """A run from the imported model, and one that goes on from it; the second has learnt something."""
    bundle, root = load_bundle(start), tmp_path_factory.mktemp("runs")
    settings = Settings(
        data=UniTokenData(datasets=("x.jsonl",), vision=VISION),
        vocabulary=bundle.settings.vocabulary,
        model=bundle.settings.model,
    )
    params = jax.tree.map(np.asarray, bundle.variables["fusion"])
    found = []
    for number, before in enumerate((start, root / "0")):
        own = config.parse(Settings, config.to_json(settings) | {"init_from": str(before), "steps": 5})
        learnt = jax.tree.map(lambda x, n=number: jax.device_put(x + n), params)
        found.append(write(root / str(number), own, learnt))
    return found


def test_it_began_with_the_imported_model(runs, start):
    assert [beginning(run) for run in runs] == [start, start]


def test_a_run_is_a_model_with_ids_and_text_of_its_beginning(runs, start, tmp_path):
    made = export_unitoken(runs[1], tmp_path / "model")
    before, after = load_bundle(start), load_bundle(tmp_path / "model")
    assert isinstance(after.settings, UniTokenSettings)
    assert after.settings == made
    assert (after.settings.vocabulary, after.settings.imported) == (before.settings.vocabulary, before.settings.imported)
    assert after.settings.steps == {"unitoken": 5}
    assert after.text.digest == before.text.digest
    old, new = (named_leaves(bundle.variables["fusion"]) for bundle in (before, after))
    assert old.keys() == new.keys()
    for name, x in old.items():
        np.testing.assert_allclose(new[name], x + 1, atol=1e-6)


def test_on_the_command_line_it_becomes_what_the_solver_reads(runs, folder, tmp_path, capsys):
    verb.FLAGS.unparse_flags()
    arguments = [str(runs[0]), str(tmp_path / "hf"), "--format=hf"]
    assert app.call("export", verb.__doc__, verb.FLAGS, verb.main, arguments) == EXIT_DONE
    assert "for transformers" in capsys.readouterr().out
    shutil.copytree(folder / "vqgan", tmp_path / "hf" / "vqgan")
    first, again = read_unitoken(folder), read_unitoken(tmp_path / "hf")
    assert (first.settings, first.vocabulary) == (again.settings, again.vocabulary)
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)


def test_what_it_began_with_may_have_moved(runs, start, tmp_path):
    moved = shutil.copytree(start, tmp_path / "moved")
    assert export_unitoken(runs[0], tmp_path / "out", moved).imported == read_settings(start).imported
    settings = config.parse(Settings, json.loads((runs[0] / "config.json").read_text()) | {"init_from": str(tmp_path / "gone")})
    lost = write(tmp_path / "lost", settings, load_bundle(start).variables["fusion"])
    with pytest.raises(InputError, match=r"lost: began with .*gone, which is not there; name the imported model with --base"):
        export_unitoken(lost, tmp_path / "none")
    without = config.parse(Settings, config.to_json(settings) | {"init_from": ""})
    alone = write(tmp_path / "alone", without, {"a": jax.numpy.ones(1)})
    with pytest.raises(InputError, match="began with no imported model"):
        beginning(alone)
    verb.FLAGS.unparse_flags()
    assert app.call("export", verb.__doc__, verb.FLAGS, verb.main, [str(lost), "x", "--tokenizer=y"]) == EXIT_BAD_INPUT


def test_a_model_of_other_ids_is_refused(runs, tiny_model, tmp_path):
    with pytest.raises(InputError, match="not a model of the ids that"):
        export_unitoken(runs[0], tmp_path / "out", tiny_model)


def test_a_config_that_computes_something_else_is_refused_before_anything_is_read(runs, start, tmp_path):
    """Parameters of the same shapes do not tell the base of rotary positions."""
    values = json.loads((runs[0] / "config.json").read_text())
    for change in ({"rope_base": 123.0}, {"heads": 2, "kv_heads": 1, "head_features": 16}, {"epsilon": 1e-6}):
        settings = config.parse(Settings, values | {"model": values["model"] | change})
        with Checkpointer(tmp_path / "own") as own, pytest.raises(InputError, match=rf"config\.model\.{next(iter(change))} is"):
            find_start(settings, {}, None, own, False)
