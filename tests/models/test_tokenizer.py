import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.models.auxiliary import AuxiliarySettings
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.quantizers import QuantizerSettings
from ugf_jax.models.tokenizer import DualTokenizer, TokenizerSettings, coarser, level_sizes, resize

FSQ = QuantizerSettings(levels=(5, 4))
SETTINGS = TokenizerSettings(
    MasterSettings(size=32, patch=8, width=16, depth=2, heads=2, quantizer=FSQ),
    AuxiliarySettings(patch=4, window=4, width=16, depth=2, heads=2, groups=2, levels=2, quantizer=FSQ),
)
MODEL = DualTokenizer(SETTINGS)
STATIC = ("method", "train", "height", "width", "levels", "keep", "threshold", "mutable")
apply = jax.jit(MODEL.apply, static_argnames=STATIC)
HEIGHT, WIDTH = 24, 44  # 6 × 11 positions: windows of 4 do not divide them, halves are not whole patches


@pytest.fixture(scope="module")
def image():
    return jnp.tanh(jax.random.normal(jax.random.key(0), (4, HEIGHT, WIDTH, 3)))


@pytest.fixture(scope="module")
def variables(image):
    leaves, tree = jax.tree.flatten(jax.eval_shape(lambda: MODEL.init(jax.random.key(1), image)))
    rng = np.random.default_rng(0)
    return tree.unflatten([0.3 * rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves])


@pytest.fixture(scope="module")
def output(variables, image):
    return apply(variables, image)


def decode(variables, codes, levels=None):
    return apply(variables, codes, height=HEIGHT, width=WIDTH, levels=levels, method="decode")


def test_decoding_the_codes_is_the_reconstruction(variables, image, output):
    codes = apply(variables, image, method="encode")
    jax.tree.map(np.testing.assert_array_equal, codes, output.codes)
    decoded = decode(variables, codes)
    np.testing.assert_allclose(decoded.recon, output.recon, atol=2e-5)  # other fusions in another program
    np.testing.assert_allclose(decoded.low, output.recon_low, atol=2e-5)


@pytest.mark.slow
def test_decoding_is_the_reconstruction_bit_for_bit_operation_by_operation(variables, image):
    output = MODEL.apply(variables, image[:1])
    decoded = MODEL.apply(variables, output.codes, HEIGHT, WIDTH, method="decode")
    np.testing.assert_array_equal(decoded.recon, output.recon)


def test_shapes_and_parts(output, image):
    assert [level.image.shape[1:3] for level in output.levels] == [(12, 24), (24, 44)]
    np.testing.assert_array_equal(output.levels[-1].image, image)
    close = functools.partial(np.testing.assert_allclose, atol=2e-5)
    close(output.low, resize(image, 32, 32))
    close(output.levels[0].up, coarser(output.recon_low, 12, 24))
    close(output.levels[1].up, coarser(output.levels[0].recon, 24, 44))
    for level in output.levels:
        close(level.residual, level.image - level.up)
        close(level.recon, level.up + level.residual_hat)
    assert [c.shape for c in output.codes.auxiliary] == [(4, 3, 6, 2), (4, 6, 11, 2)]


def test_dropping_finer_levels_gives_a_coarser_image(variables, output):
    none, one, both = (decode(variables, output.codes, n) for n in range(3))
    np.testing.assert_array_equal(none.recon, none.up)
    np.testing.assert_allclose(none.up, coarser(output.recon_low, HEIGHT, WIDTH), atol=2e-5)
    # One level: its reconstruction, enlarged to the size that was asked for.
    np.testing.assert_allclose(one.recon, coarser(output.levels[0].recon, HEIGHT, WIDTH), atol=2e-5)
    np.testing.assert_allclose(both.recon, output.recon, atol=2e-5)


def test_counts_are_of_kept_codes(variables, image, output):
    codes = apply(variables, image, keep=0.5, method="encode")
    assert [int(k.sum()) for k in codes.kept] == [4 * 9, 4 * 33]
    for c, k in zip(codes.auxiliary, codes.kept, strict=True):
        np.testing.assert_array_equal(np.asarray(c)[~np.asarray(k)], 0)
    assert output.counts["master"].sum() == 4 * 16
    assert output.counts["auxiliary"].sum() == 4 * 2 * (18 + 66)


def test_a_threshold_no_residual_reaches_leaves_the_master_alone(variables, image):
    codes = apply(variables, image, threshold=9.0, method="encode")
    decoded = decode(variables, codes)
    assert not any(k.any() for k in codes.kept)
    coarse = coarser(coarser(decoded.low, 12, 24), HEIGHT, WIDTH)
    np.testing.assert_allclose(decoded.recon, coarse, atol=2e-5)


def test_training_drops_all_codes_of_some_images_and_corrupts_masters(variables, image, output):
    drop = dataclasses.replace(SETTINGS.auxiliary, dropout=1.0, sparsity=0.0)
    model = DualTokenizer(dataclasses.replace(SETTINGS, auxiliary=drop))
    train = jax.jit(lambda seed: model.apply(variables, image, True, jax.random.key(seed)))
    out, again, other = (train(seed) for seed in (0, 0, 1))
    assert not any(k.any() for k in out.codes.kept)
    np.testing.assert_allclose(out.recon_low, output.recon_low, atol=2e-5)  # the master's own loss sees no corruption
    np.testing.assert_array_equal(out.codes.master, output.codes.master)
    assert np.abs(out.levels[0].up - output.levels[0].up).max() > 1e-3  # but the residual is against corrupted codes
    np.testing.assert_array_equal(again.levels[0].up, out.levels[0].up)
    assert np.abs(other.levels[0].up - out.levels[0].up).max() > 1e-3


def test_corruption_stays_within_its_part(variables):
    index = jnp.zeros((300, 8, 8), jnp.int32)
    model = MODEL.bind(variables)
    changed = np.asarray(model._corrupt(index, jax.random.key(0)) != 0).mean((1, 2))
    assert abs(changed.mean() - 0.15 / 2 * 19 / 20) < 0.01  # one in 20 random codes is the same code
    assert changed.max() < 0.4


def test_random_budgets_follow_their_shares(variables):
    budgets = np.asarray(MODEL.bind(variables)._random_budget(1.0, 4000, jax.random.key(0), 1))
    assert abs((budgets == 0).mean() - SETTINGS.auxiliary.dropout) < 0.02
    assert abs((budgets == 1).mean() - (1 - SETTINGS.auxiliary.dropout - SETTINGS.auxiliary.sparsity)) < 0.02
    other = np.asarray(MODEL.bind(variables)._random_budget(1.0, 4000, jax.random.key(0), 0))
    np.testing.assert_array_equal(other == 0, budgets == 0)  # dropped at every level or at none


def test_the_auxiliary_loss_does_not_reach_the_master(variables, image):
    sparse = dataclasses.replace(SETTINGS.auxiliary, dropout=0.0, sparsity=1.0)
    model = DualTokenizer(dataclasses.replace(SETTINGS, auxiliary=sparse))

    def loss(params):
        out = model.apply({"params": params}, image, True, jax.random.key(3))
        return sum(jnp.mean(level.recon**2) for level in out.levels)

    gradient = jax.jit(jax.grad(loss))(variables["params"])
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient["master"]))
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient["auxiliary"]):
        assert np.abs(leaf).max() > 0, path


def test_training_without_a_key_is_refused(variables, image):
    with pytest.raises(ValueError, match="random key"):
        MODEL.apply(variables, image, True)


def test_weights_do_not_depend_on_the_bucket(variables):
    shapes = jax.eval_shape(lambda: MODEL.init(jax.random.key(0), jnp.zeros((1, 16, 8, 3))))
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, variables)


def test_bfloat16_is_close_to_float32(variables, image, output):
    half = DualTokenizer(dataclasses.replace(SETTINGS, dtype="bfloat16"))
    out = jax.jit(half.apply)(variables, image)
    assert out.recon.dtype == jnp.float32
    assert np.mean(out.codes.master == output.codes.master) > 0.9
    same = np.asarray(out.codes.master == output.codes.master).all((1, 2))
    np.testing.assert_allclose(out.recon_low[same], output.recon_low[same], atol=0.15)


@pytest.mark.parametrize("kind", ["vq", "simvq"])
def test_learned_codebooks(kind, image):
    quantizer = QuantizerSettings(kind=kind, size=16, features=4)
    calm = {"levels": 1, "master_corruption": 0.0, "dropout": 0.0, "sparsity": 0.0}
    settings = TokenizerSettings(
        dataclasses.replace(SETTINGS.master, quantizer=quantizer),
        dataclasses.replace(SETTINGS.auxiliary, quantizer=quantizer, **calm),
    )
    model = DualTokenizer(settings)
    variables = jax.jit(lambda: model.init(jax.random.key(1), image, True, jax.random.key(2)))()
    assert set(variables) == {"params", "codebook"}
    out, new = jax.jit(lambda v: model.apply(v, image, True, jax.random.key(3), mutable=["codebook"]))(variables)
    assert out.losses["master_commitment"] > 0
    assert out.losses["auxiliary_commitment"] > 0
    moved = jax.tree.leaves(jax.tree.map(lambda a, b: not np.array_equal(a, b), variables["codebook"], new["codebook"]))
    assert all(moved) == any(moved) == (kind == "vq")
    decoded = jax.jit(lambda v, c: model.apply(v, c, HEIGHT, WIDTH, method="decode"))(variables, out.codes)
    np.testing.assert_allclose(decoded.recon, out.recon, atol=2e-5)


def test_level_sizes_are_whole_patches_and_halve():
    assert level_sizes(1024, 512, 3, 16) == [(256, 128), (512, 256), (1024, 512)]
    assert level_sizes(208, 304, 2, 16) == [(112, 160), (208, 304)]
    assert level_sizes(16, 16, 3, 16) == [(16, 16)] * 3


def test_parameter_names_are_the_ones_that_sharding_rules_and_checkpoints_know(variables):
    paths = {"/".join(k.key for k in path) for path, _ in jax.tree_util.tree_leaves_with_path(variables["params"])}
    for name in (
        "master/encoder/blocks/layer/attention/query/kernel",
        "master/decoder/norm/scale",
        "master/quantizer/project_in/kernel",
        "master/head/kernel",
        "auxiliary/encoder/blocks/shifted_layer/mlp/gate/kernel",
        "auxiliary/embed_up/projection/kernel",
        "auxiliary/skipped",
    ):
        assert name in paths


def test_settings_survive_json():
    assert config.parse(TokenizerSettings, config.to_json(SETTINGS)) == SETTINGS
