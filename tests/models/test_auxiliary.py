import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models.auxiliary import AuxiliarySettings, AuxiliaryTokenizer, choose_positions, position_energy
from ugf_jax.models.quantizers import QuantizerSettings

SETTINGS = AuxiliarySettings(
    patch=4, window=4, width=16, depth=2, heads=2, groups=2, levels=2, quantizer=QuantizerSettings(levels=(5, 4))
)
MODEL = AuxiliaryTokenizer(SETTINGS)
KEPT = jnp.ones((2, 4, 7), bool)
apply = jax.jit(MODEL.apply, static_argnames=("level", "method"))


@pytest.fixture(scope="module")
def images():
    return 0.3 * jax.random.normal(jax.random.key(0), (2, 2, 16, 28, 3))  # residual, up


@pytest.fixture
def params(images, randomize):
    return randomize(jax.eval_shape(lambda: MODEL.init(jax.random.key(1), *images, KEPT, 0)))


def test_decoding_codes_gives_the_reconstruction(images, params):
    out = apply(params, *images, KEPT, level=1)
    again = apply(params, out.quantized.index, images[1], KEPT, level=1, method="decode")
    np.testing.assert_allclose(again, out.residual_hat, atol=1e-5)
    assert not np.allclose(apply(params, *images, KEPT, level=0).residual_hat, out.residual_hat)


def test_codes_of_skipped_positions_do_not_matter(images, params):
    kept = jax.random.bernoulli(jax.random.key(2), 0.5, KEPT.shape)
    index = jax.random.randint(jax.random.key(3), (*KEPT.shape, 2), 0, 20)
    one, other = (
        apply(params, jnp.where(kept[..., None], index, x), images[1], kept, level=0, method="decode") for x in (0, 7)
    )
    np.testing.assert_array_equal(one, other)


def test_nothing_kept_is_exactly_no_residual(images, params):
    out = apply(params, *images, jnp.zeros_like(KEPT), level=0)
    np.testing.assert_array_equal(out.residual_hat, 0)
    half = KEPT.at[:, :, 3:].set(False)
    residual = apply(params, *images, half, level=0).residual_hat
    np.testing.assert_array_equal(residual[:, :, 3 * 4 + 2 :], 0)  # half a patch beyond the last kept one
    assert np.abs(residual[:, :, :12]).min() > 0


def test_choose_positions_respects_budget_and_threshold():
    energy = jax.random.uniform(jax.random.key(0), (3, 5, 6))
    for keep in (0.0, 0.1, 0.5, 1.0):
        kept = np.asarray(choose_positions(energy, keep, 0.0))
        assert (kept.sum((1, 2)) == np.ceil(keep * 30)).all()
        for one, e in zip(kept, np.asarray(energy), strict=True):
            assert keep in (0, 1) or e[one].min() >= e[~one].max()
    np.testing.assert_array_equal(choose_positions(energy, 1.0, 0.4), energy >= 0.4)
    assert (choose_positions(energy, 0.5, 0.9) <= choose_positions(energy, 0.5, 0.0)).all()


def test_a_budget_holds_among_equal_energies_and_may_differ_by_image():
    kept = choose_positions(jnp.zeros((3, 5, 6)), jnp.array([0.0, 0.2, 1.0]), 0.0)
    np.testing.assert_array_equal(kept.sum((1, 2)), [0, 6, 30])


def test_energy_is_the_mean_square_of_each_cell():
    residual = jnp.zeros((1, 8, 8, 3)).at[0, 5, 2].set(2.0)
    np.testing.assert_allclose(position_energy(residual, 4)[0], [[0, 0], [4 / 16, 0]])


def multiply_adds(height, width):
    """Multiplications of all matrix products, from the traced program; scanned layers count as often as they run."""

    def is_jaxpr(x):
        return hasattr(x, "eqns") or hasattr(x, "jaxpr")

    def count(jaxpr):
        total = 0
        for eqn in jaxpr.eqns:
            parts = [p for p in jax.tree.leaves(list(eqn.params.values()), is_leaf=is_jaxpr) if is_jaxpr(p)]
            repeats = eqn.params["length"] if eqn.primitive.name == "scan" else 1
            total += repeats * sum(count(getattr(p, "jaxpr", p)) for p in parts)
            if eqn.primitive.name == "dot_general":
                (contract, _), _ = eqn.params["dimension_numbers"]
                depth = np.prod([eqn.invars[0].aval.shape[i] for i in contract])
                total += depth * np.prod(eqn.outvars[0].aval.shape)
        return total

    image = jax.ShapeDtypeStruct((1, height, width, 3), jnp.float32)
    kept = jax.ShapeDtypeStruct((1, height // 4, width // 4), jnp.bool_)
    params = jax.eval_shape(lambda i, k: MODEL.init(jax.random.key(0), i, i, k, 0), image, kept)
    return count(jax.make_jaxpr(lambda p, i, k: MODEL.apply(p, i, i, k, 0))(params, image, kept).jaxpr)


def test_cost_is_linear_in_pixels():
    one, four, sixteen = (multiply_adds(32 * n, 32 * n) for n in (1, 2, 4))
    # The head's canvas is one patch larger than the image, which is what keeps the ratio a little under 4.
    assert 3.5 < four / one <= 4
    assert 3.8 < sixteen / four <= 4


def test_settings_that_do_not_fit_are_refused():
    for change, message in (
        ({"depth": 3}, "config.depth is 3; want an even number"),
        ({"patch": 7}, "config.patch is 7; want an even number"),
        ({"dropout": 0.8, "sparsity": 0.5}, r"config.dropout \+ config.sparsity is 1.3; want at most 1"),
    ):
        with pytest.raises(InputError, match=message):
            config.parse(AuxiliarySettings, change)
