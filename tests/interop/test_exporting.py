"""What is exported is what transformers computes: its config says so, or the export is refused with a reason."""

import dataclasses
import json
import pathlib

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from ugf_jax.errors import InputError
from ugf_jax.interop.exporting import export_hf, hf_config, hf_rules
from ugf_jax.interop.importing import import_model
from ugf_jax.interop.mapping import source_shapes
from ugf_jax.interop.pickled import InMemory
from ugf_jax.interop.plan import Additions, plan_import
from ugf_jax.interop.source import Source, open_source
from ugf_jax.training.bundle import BundleSettings, read_settings

PLAIN = Additions(1, 1, None, embedding=0)
FAMILIES = ("llama-2", "qwen2-1", "qwen3-0", "chameleon-1", "unitoken-0")


def how(name):
    return None if name[0] in "cu" else PLAIN


@pytest.fixture(scope="module")
def model(interop_source, tmp_path_factory):
    """Folder of an imported model, by the name of its source."""
    root = tmp_path_factory.mktemp("exporting")

    def made(name):
        if not (root / name).exists():
            import_model(plan_import(open_source(interop_source(name)), how(name)), root / name)
        return root / name

    return made


def changed(folder, to, config=lambda values: None, tensors=lambda values: values):
    """A copy of a model with another config or other tensors."""
    to.mkdir()
    values = json.loads((folder / "config.json").read_text())
    config(values)
    (to / "config.json").write_text(json.dumps(values))
    (to / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    stored = safetensors.numpy.load_file(folder / "model.safetensors")
    safetensors.numpy.save_file(tensors(stored), to / "model.safetensors")
    return to


@pytest.mark.parametrize("name", FAMILIES)
def test_the_config_of_an_import_comes_out_word_for_word(model, interop_source, name):
    settings = read_settings(model(name))
    assert hf_config(settings, "x") == json.loads((interop_source(name) / "config.json").read_text())


@pytest.mark.parametrize("name", FAMILIES)
def test_without_it_one_is_made_that_means_the_same(model, interop_source, name):
    settings = read_settings(model(name))
    bare = dataclasses.replace(settings, imported={})
    made = hf_config(bare, "x")
    assert made["model_type"] == settings.imported["model_type"]
    shapes = plan_import(open_source(interop_source(name)), how(name)).shapes
    tensors = {
        tensor: InMemory(np.broadcast_to(np.float32(0), shape))
        for target, rule in hf_rules(bare).items()
        for tensor, shape in zip(rule.sources, source_shapes(rule, shapes[f"fusion/{target}"]), strict=True)
    }
    again = plan_import(Source(pathlib.Path("again"), made, tensors), how(name))
    again.check()
    assert again.settings.model == settings.model
    assert again.settings.vocabulary == settings.vocabulary


def test_a_config_that_is_no_longer_true_is_not_repeated(model):
    settings = read_settings(model("llama-2"))
    other = dataclasses.replace(settings, model=dataclasses.replace(settings.model, rope_base=123.0))
    assert hf_config(settings, "x")["rope_parameters"]["rope_theta"] == 10_000.0
    assert hf_config(other, "x")["rope_theta"] == 123.0
    trained = dataclasses.replace(settings.model, dropout=0.05, dtype="bfloat16", remat=True)  # how, not what
    assert hf_config(dataclasses.replace(settings, model=trained), "x") == settings.imported


@pytest.mark.parametrize("dtype", ["", "bfloat16"])
def test_rows_that_transformers_does_not_know_are_left_out(model, interop_source, tmp_path, dtype):
    """The table comes back without its new rows, in the type that is asked for."""
    assert export_hf(model("llama-2"), tmp_path / "hf", dtype) == []
    found = safetensors.numpy.load_file(tmp_path / "hf" / "model.safetensors")
    first = safetensors.numpy.load_file(interop_source("llama-2") / "model.safetensors")
    assert found.keys() == first.keys()
    wanted = np.dtype(ml_dtypes.bfloat16 if dtype else np.float32)
    for name, x in first.items():
        np.testing.assert_array_equal(found[name], x.astype(wanted))
        assert found[name].dtype == wanted
    assert (tmp_path / "hf" / "tokenizer.json").read_bytes() == (model("llama-2") / "tokenizer.json").read_bytes()


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            lambda t: t | {"fusion/layers/gate": np.float32([0.5]), "fusion/layers/cross/output/kernel": np.ones((1, 2, 2))},
            "fusion/layers/cross/output/kernel is not 0: the model looks",
        ),
        (lambda t: t | {"fusion/value_head": np.zeros(3, np.float32)}, "fusion/value_head: no model of transformers has such"),
        (lambda t: {n: x for n, x in t.items() if n != "fusion/norm/scale"}, "fusion/norm/scale is missing"),
    ],
)
def test_parameters_that_do_not_fit_are_named(model, tmp_path, tensors, message):
    copy = changed(model("llama-2"), tmp_path / "copy", tensors=tensors)
    with pytest.raises(InputError, match=message) as caught:
        export_hf(copy, tmp_path / "hf")
    assert str(copy) in str(caught.value)
    assert not (tmp_path / "hf").exists()  # nothing was written


def test_what_is_left_behind_is_listed(model, tmp_path):
    more = {"fusion/layers/gate": np.float32([0.5]), "fusion/memory/null": np.ones(3, np.float32)}
    copy = changed(model("llama-2"), tmp_path / "copy", tensors=lambda t: t | more)
    assert sorted(export_hf(copy, tmp_path / "hf")) == ["layers/gate", "memory/null"]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("llama-2", {"cell_places": True}, "cell_places"),
        ("qwen3-0", {"mlp_bias": True}, "mlp_bias"),
    ],
)
def test_what_no_model_of_transformers_computes_is_named(model, tmp_path, name, change, message):
    copy = changed(model(name), tmp_path / "copy", config=lambda values: values["model"].update(change))
    with pytest.raises(InputError, match=message):
        export_hf(copy, tmp_path / "hf")


def test_norms_of_each_head_need_the_ids_of_chameleon():
    own = BundleSettings()
    layer = dataclasses.replace(own, model=dataclasses.replace(own.model, qk_norm="layer"))
    with pytest.raises(InputError, match="norms of each head as in Chameleon, but other token ids"):
        hf_config(layer, "x")


def test_a_folder_that_holds_a_model_is_left_alone(model):
    before = (model("llama-2") / "model.safetensors").read_bytes()
    with pytest.raises(InputError, match="holds a model already; name another folder or delete it"):
        export_hf(model("qwen3-0"), model("llama-2"))
    assert (model("llama-2") / "model.safetensors").read_bytes() == before
