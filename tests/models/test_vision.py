import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.models import vision
from ugf_jax.models.constrain import constrain_rows
from ugf_jax.models.vision import Adapter, VisionSettings, VisionTower, interpolate
from ugf_jax.training import parameter_axes, sharding
from ugf_jax.training.sharding import MeshSettings

SETTINGS = VisionSettings(image_size=17, patch=3, width=12, depth=3, heads=2, hidden=20)  # 5 x 5 patches, 2 pixels left over
TOWER = VisionTower(SETTINGS)
apply = jax.jit(TOWER.apply)


def image(height, width, batch=2):
    return np.random.default_rng(0).uniform(-1, 1, (batch, height, width, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def params():
    leaves, tree = jax.tree.flatten(jax.eval_shape(lambda: TOWER.init(jax.random.key(0), image(17, 17))))
    rng = np.random.default_rng(1)
    return tree.unflatten([0.3 * rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves])


def norm(x, p):
    centred = x - x.mean()
    return centred / np.sqrt((centred**2).mean() + 1e-6) * p["scale"] + p["bias"]


def linear(x, p):
    return x @ p["kernel"] + p["bias"]


def oracle(params, picture):
    """The tower in float64, patch by patch and head by head."""
    p = jax.tree.map(lambda x: np.asarray(x, np.float64), params["params"])
    side, heads = SETTINGS.patch, SETTINGS.heads
    tokens = []
    for row in range(5):
        for column in range(5):
            pixels = picture[row * side : (row + 1) * side, column * side : (column + 1) * side].astype(np.float64)
            tokens.append(linear(pixels.reshape(-1), p["embed"]["projection"]) + p["positions"][row * 5 + column])
    for n in range(SETTINGS.depth):
        layer = jax.tree.map(lambda x, n=n: x[n], p["blocks"])
        normed = [norm(x, layer["attention_norm"]) for x in tokens]
        query, key, value = (
            [linear(x, layer["attention"][name]).reshape(heads, -1) for x in normed] for name in ("query", "key", "value")
        )
        for i in range(len(tokens)):
            mixed = []
            for h in range(heads):
                logits = np.array([query[i][h] @ k[h] for k in key]) / math.sqrt(len(query[i][h]))
                weights = np.exp(logits) / np.exp(logits).sum()
                mixed.append(sum(w * v[h] for w, v in zip(weights, value, strict=True)))
            tokens[i] = tokens[i] + linear(np.concatenate(mixed), layer["attention"]["output"])
        for i, x in enumerate(tokens):
            up = linear(norm(x, layer["mlp_norm"]), layer["mlp"]["up"])
            gelu = 0.5 * up * (1 + np.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
            tokens[i] = x + linear(gelu, layer["mlp"]["down"])
    return np.stack([norm(x, p["norm"]) for x in tokens]).reshape(5, 5, -1)


def test_the_tower_is_that_of_loops_in_float64(params):
    picture = image(17, 17)
    features = apply(params, picture)
    for one, expected in zip(features, picture, strict=True):
        np.testing.assert_allclose(one, oracle(params, expected), atol=2e-5)


def test_what_is_left_over_at_the_edge_is_cut_off(params):
    picture = image(17, 17)
    other = picture.copy()
    other[:, 15:], other[:, :, 15:] = 0, 0
    np.testing.assert_array_equal(apply(params, picture), apply(params, other))
    with pytest.raises(ValueError, match="want at least one patch, 3"):
        TOWER.apply(params, image(2, 17))


def test_other_sizes_have_their_own_grid(params):
    assert apply(params, image(9, 22)).shape == (2, 3, 7, 12)


def test_every_parameter_matters_and_recomputing_changes_nothing(params):
    picture = image(17, 17)
    again = VisionTower(VisionSettings(**{**vars(SETTINGS), "remat": True}))

    def loss(p, tower=TOWER):
        return jnp.sum(jnp.sin(tower.apply(p, picture)))

    grads, same = jax.jit(jax.grad(loss))(params), jax.jit(jax.grad(lambda p: loss(p, again)))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), grads, same)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        if "key" not in str(path) or "bias" not in str(path):  # a bias of all keys moves all logits of a query alike
            assert np.abs(leaf).max() > 1e-4, path


def test_positions_are_unchanged_on_their_own_grid_and_resampled_elsewhere():
    grid = jax.random.normal(jax.random.key(0), (5, 5, 4))
    assert interpolate(grid, 5, 5) is grid
    flat = interpolate(jnp.ones((5, 5, 1)), 7, 3)
    np.testing.assert_allclose(flat, 1, atol=1e-6)
    # Twice as fine: every new sample lies a quarter of a cell beside an old one; Keys's weights there, in full.
    a, x = -0.75, np.array([1.25, 0.25, 0.75, 1.75])
    near, far = (a + 2) * x**3 - (a + 3) * x**2 + 1, a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    weights = np.where(x <= 1, near, far)
    fine = interpolate(grid, 10, 5)
    np.testing.assert_allclose(fine[5], np.einsum("i,icf->cf", weights, grid[1:5]), atol=1e-5)
    transposed = interpolate(grid.swapaxes(0, 1), 5, 10).swapaxes(0, 1)
    np.testing.assert_allclose(fine, transposed, atol=1e-6)


def test_a_ramp_stays_a_ramp_away_from_the_border():
    ramp = jnp.broadcast_to(jnp.arange(12.0)[:, None, None], (12, 2, 1))
    fine = np.asarray(interpolate(ramp, 30, 2))[..., 0]
    expected = (np.arange(30) + 0.5) * 12 / 30 - 0.5
    np.testing.assert_allclose(fine[6:-6, 0], expected[6:-6], atol=0.1)  # a = -0.75 follows a ramp nearly


def test_the_adapter_is_two_linear_layers_with_a_gelu_between():
    x = np.random.default_rng(0).standard_normal((2, 3, 5)).astype(np.float32)
    params = {"first": (5, 7), "second": (7, 7)}
    rng = np.random.default_rng(1)
    params = {name: {"kernel": rng.standard_normal(shape), "bias": rng.standard_normal(7)} for name, shape in params.items()}
    hidden = linear(x.astype(np.float64), params["first"])
    gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    expected = linear(gelu, params["second"])
    single = jax.tree.map(lambda p: p.astype(np.float32), params)
    np.testing.assert_allclose(Adapter(7).apply({"params": single}, x), expected, atol=1e-4)


def test_the_defaults_are_those_of_so400m():
    shapes = jax.eval_shape(lambda: VisionTower(VisionSettings()).init(jax.random.key(0), jnp.zeros((1, 384, 384, 3))))
    count = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
    layer = 4 * (1152**2 + 1152) + 2 * 1152 * 4304 + 4304 + 1152 + 4 * 1152
    assert count == 27 * layer + 14 * 14 * 3 * 1152 + 1152 + 729 * 1152 + 2 * 1152
    assert VisionSettings().grid == 27


def gathered(tower, adapter, crops, mesh):
    """Entries of what is gathered or exchanged for the gradients of tower and adapter, and of their parameters."""
    shapes = jax.eval_shape(
        lambda x: {
            "vision": tower.init(jax.random.key(0), x)["params"],
            "adapter": adapter.init(jax.random.key(0), jnp.zeros((1, tower.settings.width)))["params"],
        },
        crops,
    )
    table = (*parameter_axes.FUSION, *parameter_axes.VISION)
    placed = sharding.tree_shardings(shapes, table, MeshSettings().rules, mesh)

    def loss(params, crops):
        features = adapter.apply({"params": params["adapter"]}, tower.apply({"params": params["vision"]}, crops))
        return jnp.sum(jnp.sin(constrain_rows(features)))

    with jax.set_mesh(mesh):
        step = jax.jit(jax.grad(loss), in_shardings=(placed, sharding.batch_sharding(mesh)), out_shardings=placed)
        text = step.lower(shapes, crops).compile().as_text() or ""
    sent = re.findall(r"= (?:\()?\w+\[([\d,]+)\]\S* (?:all-gather|all-to-all)\(", text)
    kernels = [x.shape for x in jax.tree.leaves(shapes)]
    sizes = {math.prod(shape) for shape in kernels} | {math.prod(shape[1:]) for shape in kernels}  # of all layers, or of one
    return {math.prod(map(int, dimensions.split(","))) for dimensions in sent}, sizes


def test_devices_gather_weights_and_leave_crops_where_they_are(monkeypatch):
    mesh = sharding.make_mesh(MeshSettings(data=2, fsdp=4))
    settings = VisionSettings(image_size=16, patch=4, width=64, depth=2, heads=4, hidden=128, remat=True)
    crops = jax.ShapeDtypeStruct((24, 16, 16, 3), jnp.float32)
    sent, weights = gathered(VisionTower(settings), Adapter(64), crops, mesh)
    assert sent
    assert sent <= weights
    monkeypatch.setattr(vision, "constrain_rows", lambda x: x)  # a control: left to the compiler, tokens travel
    sent, weights = gathered(VisionTower(settings), Adapter(64), crops, mesh)
    assert not sent <= weights


def test_settings_that_do_not_fit_are_refused():
    for change, message in (({"heads": 7}, "config.width is 1152"), ({"image_size": 13}, "config.image_size is 13")):
        with pytest.raises(InputError, match=message):
            config.parse(VisionSettings, change)
