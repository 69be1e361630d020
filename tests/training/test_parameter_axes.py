"""Every array of the tokenizer's training state has exactly one row of the table, and large ones are really split."""

import dataclasses
import functools
import re

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.tokenizer import TokenizerSettings
from ugf_jax.models.vision import Adapter, VisionSettings, VisionTower
from ugf_jax.models.vqgan import VQGANSettings
from ugf_jax.training import parameter_axes, sharding
from ugf_jax.training.optimizer import OptimizerSettings, make_optimizer
from ugf_jax.training.sharding import MeshSettings
from ugf_jax.training.stages.tokenizer import AdversarialSettings, Settings, TokenizerObjective, build
from ugf_jax.training.state import init_state

QUANTIZERS = {
    "fsq": QuantizerSettings(levels=(4, 4)),
    "vq": QuantizerSettings(kind="vq", size=64, features=4),
    "simvq": QuantizerSettings(kind="simvq", size=64, features=4),
}
MASTERS = {"vit": MasterSettings(size=16, patch=4, width=16, depth=2, heads=2), "vqgan": MasterSettings(kind="vqgan", size=16)}
VQGAN = VQGANSettings(channels=32, multipliers=(1, 1, 2), blocks=1, latent=32)
AUXILIARY = AuxiliarySettings(patch=4, window=2, width=16, depth=2, heads=2, groups=2)
CASES = [("vit", "fsq"), ("vit", "vq"), ("vit", "simvq"), ("vqgan", "vq"), ("vqgan", "simvq")]


@functools.cache
def arrays(master, quantizer):
    """Shape of every array of a training state with a discriminator, moments and an average, by path."""
    chosen = dataclasses.replace(MASTERS[master], patch=4, quantizer=QUANTIZERS[quantizer], vqgan=VQGAN)
    settings = Settings(
        model=TokenizerSettings(chosen, dataclasses.replace(AUXILIARY, quantizer=QUANTIZERS[quantizer])),
        objective=TokenizerObjective(adversarial=AdversarialSettings(weight=0.1, width=32, depth=2)),
        optimizer=OptimizerSettings(ema_decay=0.9),
    )
    stage, optimizer = build(settings), make_optimizer(settings.optimizer, settings.steps)
    batch = {"image": jax.ShapeDtypeStruct((2, 16, 24, 3), jnp.uint8)}
    key = jax.eval_shape(lambda: jax.random.key(0))
    state = jax.eval_shape(functools.partial(init_state, stage, optimizer, True), key, batch)
    return state, {sharding.path_name(path): leaf.shape for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


@pytest.mark.parametrize(("master", "quantizer"), CASES)
def test_each_array_has_one_row_and_what_belongs_together_lies_alike(master, quantizer):
    mesh = sharding.make_mesh(MeshSettings(data=2, fsdp=2, tensor=2))
    state, shapes = arrays(master, quantizer)
    laid_out = sharding.tree_shardings(state, parameter_axes.TOKENIZER, MeshSettings().rules, mesh)  # refuses none and two
    specs = {sharding.path_name(path): s.spec for path, s in jax.tree_util.tree_leaves_with_path(laid_out)}
    parameters = [name.removeprefix("params/") for name in specs if name.startswith("params/")]
    assert any(name.startswith("discriminator/") for name in parameters)
    for name in parameters:
        alike = [other for other in specs if other.endswith("/" + name)]
        kinds = {re.sub(r"^opt_state/.*(mu|nu)/.*", r"\1", other).split("/")[0] for other in alike}
        assert kinds == {"params", "ema", "mu", "nu"}
        assert len({specs[other] for other in alike}) == 1
    kernels = [n for n in parameters if shapes["params/" + n][2:] == (32, 32)]
    assert all(specs["params/" + n] == P(None, None, "fsdp", "tensor") for n in kernels)


@pytest.mark.parametrize("quantizer", ["vq", "simvq"])
def test_codebooks_are_split_by_codes(quantizer):
    mesh = sharding.make_mesh(MeshSettings(data=2, fsdp=2, tensor=2))
    for master in MASTERS:
        state, _ = arrays(master, quantizer)
        codebooks = sharding.tree_shardings(state.model_state, parameter_axes.TOKENIZER, MeshSettings().rules, mesh)
        leaves = jax.tree.leaves(codebooks)
        assert len(leaves) == {"vq": 6, "simvq": 2}[quantizer]
        assert all(leaf.spec[0] == "tensor" for leaf in leaves)


def test_no_row_is_idle():
    names = {name for case in CASES for name in arrays(*case)[1]}
    idle = [row for row, _ in parameter_axes.TOKENIZER if not any(re.search(rf"(^|/){row}$", name) for name in names)]
    assert idle == []


def test_a_vision_tower_fits_beside_a_fusion_transformer():
    tower, adapter = VisionTower(VisionSettings(8, 4, 64, 2, 4, 128)), Adapter(64)
    arrays = {
        "vision": jax.eval_shape(lambda: tower.init(jax.random.key(0), jnp.zeros((1, 8, 8, 3))))["params"],
        "adapter": jax.eval_shape(lambda: adapter.init(jax.random.key(0), jnp.zeros((1, 64))))["params"],
    }
    mesh = sharding.make_mesh(MeshSettings(data=2, fsdp=2, tensor=2))
    axes = (*parameter_axes.FUSION, *parameter_axes.VISION)
    laid_out = sharding.tree_shardings(arrays, axes, MeshSettings().rules, mesh)  # refuses none and two
    assert laid_out["vision"]["blocks"]["mlp"]["up"]["kernel"].spec == P(None, "fsdp", "tensor")
    last = {
        sharding.path_name(path): s.spec[-1] for path, s in jax.tree_util.tree_leaves_with_path(laid_out) if len(s.spec) > 1
    }
    assert {axis for axis in last.values() if axis} == {"tensor"}  # over fsdp the compiler would sum whole gradients, then cut
    names = [sharding.path_name(path) for path, _ in jax.tree_util.tree_leaves_with_path(arrays)]
    assert [row for row, _ in parameter_axes.VISION if not any(re.search(rf"(^|/){row}$", name) for name in names)] == []
