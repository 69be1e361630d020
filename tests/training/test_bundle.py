"""A model in one folder: what is written is read, and what is damaged is named."""

import json
import math
import shutil

import jax
import numpy as np
import pytest
import safetensors.numpy

from ugf_jax import tensor_files
from ugf_jax.errors import InputError
from ugf_jax.training import parameter_axes
from ugf_jax.training.bundle import BundleSettings, check_shapes, digest, load_bundle, read_params, save_bundle
from ugf_jax.training.digests import named_leaves
from ugf_jax.training.frozen import abstract_params
from ugf_jax.training.sharding import MeshSettings, make_mesh, tree_shardings


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_what_is_saved_is_loaded(tiny_model, tmp_path, dtype):
    first = load_bundle(tiny_model)
    text = (tiny_model / "tokenizer.json").read_bytes()
    save_bundle(tmp_path, first.settings, first.variables, text, "# card", dtype)
    again = load_bundle(tmp_path)
    assert again.settings == first.settings
    assert again.text.digest == first.text.digest
    for one, other in zip(jax.tree.leaves(first.variables), jax.tree.leaves(again.variables), strict=True):
        assert other.dtype == np.float32
        np.testing.assert_array_equal(np.asarray(one).astype(dtype).astype(np.float32), other)
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (tiny_model, tmp_path)]
    assert dtype == "float32" or sizes[1] < 0.75 * sizes[0]
    # Whoever may read the settings may read the parameters.
    assert len({(tmp_path / name).stat().st_mode for name in ("config.json", "model.safetensors", "tokenizer.json")}) == 1


def test_a_value_too_large_for_its_type_is_named(tmp_path):
    with pytest.raises(InputError, match="fusion/w: a value does not fit into float16"):
        save_bundle(tmp_path, BundleSettings(), {"fusion": {"w": np.float32([1e6])}}, b"", "", "float16")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(InputError, match=rf"not a model \(no {name}\)"):
        load_bundle(copy)


def test_a_cut_file_is_named(copy):
    path = copy / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors: cut short"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 9}, "version is 9; want it one of 1, 2"),
        ({"version": 1}, r"config\.json: a model with memory of version 1; want version 2"),
        ({"modell": 1}, r"config\.json\.modell: unknown key"),
    ],
)
def test_a_wrong_config_is_named(copy, change, message):
    path = copy / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        load_bundle(copy)


def test_parameters_of_another_model_are_named():
    wanted = {"a": np.zeros((2, 3)), "b": {"c": np.zeros(4)}}
    check_shapes(wanted, wanted, "model")
    for found, message in (
        ({"a": np.zeros((2, 3))}, "model: b/c is missing"),
        ({"a": np.zeros((3, 2)), "b": {"c": np.zeros(4)}}, r"model: a is \(3, 2\); its config.json wants \(2, 3\)"),
        (wanted | {"d": np.zeros(1)}, "model: d belongs to no part"),
    ):
        with pytest.raises(InputError, match=message):
            check_shapes(found, wanted, "model")


def test_the_file_is_plain_safetensors(tiny_model):
    names = set(safetensors.numpy.load_file(tiny_model / "model.safetensors"))
    assert {name.split("/")[0] for name in names} == {"tokenizer", "fusion", "detail"}
    assert "fusion/layers/block_0/attention/query/kernel" in names


def test_each_device_reads_its_own_part_of_an_array_and_nothing_else(tiny_model, monkeypatch):
    """What a host holds of a model while a run starts from it is what its devices are to have."""
    whole = load_bundle(tiny_model)
    mesh = make_mesh(MeshSettings(data=1, fsdp=4, tensor=2))
    shapes = abstract_params(whole.settings)
    where = tree_shardings(shapes, parameter_axes.FUSION, MeshSettings().rules, mesh)
    abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, where)
    names = {tensor.begin: name.removeprefix("fusion/") for name, tensor in tensor_files.read_folder(tiny_model).items()}
    read, sizes = tensor_files.Tensor.read, {}

    def noted(tensor, index=None):
        values = read(tensor, index)
        sizes.setdefault(names[tensor.begin], set()).add(values.size)
        return values

    monkeypatch.setattr(tensor_files.Tensor, "read", noted)
    found, wanted = (named_leaves(x) for x in (read_params(tiny_model, "fusion", abstract), whole.variables["fusion"]))
    assert found.keys() == wanted.keys() == sizes.keys()
    for name, x in found.items():
        np.testing.assert_array_equal(x, wanted[name])
        assert sizes[name] == {math.prod(x.sharding.shard_shape(x.shape))}
    for name in ("layers/block_0/attention/query/kernel", "embed/embedding"):  # positive control: over both axes
        assert sizes[name] == {wanted[name].size // 8}


def test_the_same_model_may_be_saved_again_and_another_may_not(copy):
    bundle, text = load_bundle(copy), (copy / "tokenizer.json").read_bytes()
    before = (copy / "model.safetensors").stat().st_mtime_ns
    save_bundle(copy, bundle.settings, bundle.variables, text, "# card", "float32")
    assert (copy / "model.safetensors").stat().st_mtime_ns == before
    other = jax.tree.map(lambda x: x + 1, bundle.variables)
    for variables, dtype in ((other, "float32"), (bundle.variables, "float16")):
        with pytest.raises(InputError, match="holds another model already"):
            save_bundle(copy, bundle.settings, variables, text, "# card", dtype)


def test_a_digest_tells_settings_texts_and_all_files_of_parameters(copy):
    found = {digest(copy)}
    (copy / "README.md").write_text("another card")
    assert digest(copy) in found
    shard = copy / "model-00002-of-00002.safetensors"  # as of a model that came in shards
    for path, content in ((shard, b"a"), (shard, b"b"), (copy / "config.json", b"{}"), (copy / "tokenizer.json", b"{}")):
        path.write_bytes(content)
        assert digest(copy) not in found
        found.add(digest(copy))
