"""The parts of an exported model that a stage wants are read onto its shardings; what is no model is named."""

import json
import shutil

import jax
import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.training.bundle import load_bundle
from ugf_jax.training.frozen_reward import abstract_params
from ugf_jax.training.pretrained import find_pretrained
from ugf_jax.training.reward_model import without_vision
from ugf_jax.training.sharding import MeshSettings, make_mesh, replicated


@pytest.fixture(scope="module")
def start(tiny_model):
    return find_pretrained(tiny_model)


def test_an_exported_model_says_what_it_is(start, tiny_model):
    bundle = load_bundle(tiny_model)
    assert (start.model, start.vocabulary) == (bundle.settings.model, bundle.settings.vocabulary)
    assert (start.text, start.codes, start.step) == (bundle.text.digest, "", 2)
    json.dumps(start.to_json(), allow_nan=False)


def test_only_what_is_wanted_is_read_and_lies_where_it_is_wanted(start, tiny_model):
    everywhere = replicated(make_mesh(MeshSettings(data=2), jax.devices()[:2]))
    wanted = abstract_params(without_vision(start.model), start.vocabulary)["fusion"]
    del wanted["head"]
    wanted = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere), wanted)
    params, stored = start.read(wanted), load_bundle(tiny_model).variables["fusion"]
    assert set(stored) - set(params) == {"head"}
    for name, value in params.items():
        jax.tree.map(np.testing.assert_array_equal, value, stored[name])
    assert all(x.sharding == everywhere for x in jax.tree.leaves(params))
    wider = {"norm": {"scale": jax.ShapeDtypeStruct((7,), np.float32)}}
    with pytest.raises(InputError, match=r"fusion/norm/scale is \(32,\); want \(7,\)"):
        start.read(wider)


def test_what_is_no_model_is_named(tiny_model, tmp_path):
    with pytest.raises(InputError, match=r"config\.model: .*none: no such folder"):
        find_pretrained(tmp_path / "none")
    with pytest.raises(InputError, match="not the work folder of a training run"):
        find_pretrained(tmp_path)
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    (copy / "config.json").write_text('{"format": "ugf-model", "model": {"widht": 3}}')
    with pytest.raises(InputError, match="did you mean 'width'"):
        find_pretrained(copy)
