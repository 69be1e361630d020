"""A vision tower's size is told from its tensors; its mapping has every parameter once and uses every tensor."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.interop.mapping import check, source_shapes
from ugf_jax.interop.pickled import InMemory
from ugf_jax.interop.source import Source
from ugf_jax.interop.tower import (
    PREFIXES,
    adapter_mapping,
    tower_ignored,
    tower_mapping,
    tower_prefix,
    tower_settings,
)
from ugf_jax.models.patches import split_patches
from ugf_jax.models.vision import Adapter, VisionSettings, VisionTower
from ugf_jax.training.digests import named_leaves

TOWER = VisionSettings(image_size=21, patch=5, width=24, depth=3, heads=3, hidden=28)
CONFIG = {"model_type": "siglip_vision_model", "num_attention_heads": 3, "image_size": 21}


def parameters(settings):
    """Shapes of a tower's parameters."""
    image = jnp.zeros((1, settings.image_size, settings.image_size, 3))
    made = jax.eval_shape(lambda: VisionTower(settings).init(jax.random.key(0), image))["params"]
    return {name: x.shape for name, x in named_leaves(made).items()}


def source_of(settings, prefix="vit.", config=CONFIG, **more):
    """The tensors of a tower as another project stores them, all 0."""
    shapes = {}
    mapping = tower_mapping(settings, prefix)
    for target, shape in parameters(settings).items():
        shapes |= dict(zip(mapping[target].sources, source_shapes(mapping[target], shape), strict=True))
    tensors = {name: InMemory(np.zeros(shape, np.float32)) for name, shape in shapes.items()}
    return Source(pathlib.Path("tower"), config, tensors | {n: InMemory(np.zeros(s)) for n, s in more.items()})


@pytest.mark.parametrize("resampling", ["cubic", "linear"])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_tower_is_found_by_its_names_and_sized_by_its_tensors(prefix, resampling):
    wanted = dataclasses.replace(TOWER, resampling=resampling)
    more = {f"{prefix}head.probe": (1, 1, 24)}
    source = source_of(wanted, prefix, **more)
    assert tower_prefix(source) == prefix
    found = tower_settings(source, prefix)
    assert found == wanted
    mapping, shapes = tower_mapping(found, prefix), parameters(found)
    assert mapping.keys() == shapes.keys()
    check(source, mapping, shapes, tower_ignored(prefix))
    with pytest.raises(InputError, match=r"head\.probe \[1, 1, 24\] belongs to no part"):
        check(source, mapping, shapes, {})


def test_a_patch_embedding_of_either_kind_is_the_same_product():
    """SigLIP's convolution and NaFlex's matrix, on the order of pixels that patches have here."""
    values = np.random.default_rng(0)
    image, weight = values.normal(size=(1, 10, 10, 3)), values.normal(size=(7, 3, 5, 5))
    expected = np.einsum("oihw,bRhCwi->bRCo", weight, image.reshape(1, 2, 5, 2, 5, 3))
    for resampling, stored in (("cubic", weight), ("linear", weight.transpose(0, 2, 3, 1).reshape(7, -1))):
        rule = tower_mapping(dataclasses.replace(TOWER, resampling=resampling), "")["embed/projection/kernel"]
        found = np.asarray(split_patches(jnp.asarray(image), 5)) @ rule.change.forward(stored)
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-4)
        np.testing.assert_array_equal(rule.change.backward(rule.change.forward(stored)), stored)


def test_what_the_tensors_do_not_tell_is_asked_of_the_config():
    published = dataclasses.replace(TOWER, image_size=384, patch=14, width=1152, heads=16, depth=1, hidden=2)
    assert tower_settings(source_of(published, config={}), "vit.") == published  # 27 patches of 14 pixels do not fill 384
    nested = source_of(TOWER, config={"model_type": "chameleon", "num_attention_heads": 8, "vision_config": CONFIG})
    assert tower_settings(nested, "vit.").heads == 3  # the tower's own, not the transformer's
    with pytest.raises(InputError, match="num_attention_heads is missing; a tower of width 24"):
        tower_settings(source_of(TOWER, config={"model_type": "chameleon", "num_attention_heads": 8}), "vit.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, "hidden_act of the vision tower is 'relu'; want 'gelu_pytorch_tanh'"),
        ({"layer_norm_eps": 1e-5}, "layer_norm_eps of the vision tower is 1e-05"),
        ({"num_attention_heads": 5}, "width is 24; want a multiple of .*heads, 5"),
    ],
)
def test_what_cannot_be_computed_is_named(change, message):
    with pytest.raises(InputError, match=message) as caught:
        tower_settings(source_of(TOWER, config=CONFIG | change), "vit.")
    assert str(caught.value).startswith("tower/config.json")


def test_positions_are_those_of_a_square():
    source = source_of(TOWER, "", **{"embeddings.position_embedding.weight": (15, 24)})
    with pytest.raises(InputError, match=r"position_embedding\.weight has 15 rows; want a square number"):
        tower_settings(source, "")
    assert tower_prefix(Source(pathlib.Path("x"), {}, {"lm_head.weight": InMemory(np.zeros(1))})) is None


def test_the_adapter_is_linear_gelu_linear():
    made = jax.eval_shape(lambda: Adapter(12).init(jax.random.key(0), jnp.zeros((1, 24))))["params"]
    shapes, mapping = {name: x.shape for name, x in named_leaves(made).items()}, adapter_mapping()
    assert mapping.keys() == shapes.keys()
    stored = {rule.sources[0]: source_shapes(rule, shapes[target])[0] for target, rule in mapping.items()}
    assert stored == {
        "adapter.0.weight": (12, 24),
        "adapter.0.bias": (12,),
        "adapter.2.weight": (12, 12),
        "adapter.2.bias": (12,),
    }
