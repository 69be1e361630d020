import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models import rope
from ugf_jax.models.attention import GridAttention, Windows, attend

HEADS, WIDTH = 2, 16
SHAPES = ((1, 1, 4), (5, 11, 4), (8, 6, 4), (3, 9, 5), (2, 2, 1))
plans = pytest.mark.parametrize("windows", [Windows(*shape, shifted) for shape in SHAPES for shifted in (False, True)], ids=str)


@plans
def test_join_undoes_split(windows):
    x = np.arange(2 * windows.height * windows.width * 3).reshape(2, windows.height, windows.width, 3)
    np.testing.assert_array_equal(windows.join(windows.split(jnp.asarray(x))), x)


@plans
def test_every_cell_is_seen_and_sees_only_near_cells_of_the_grid(windows):
    cells = np.arange(1, windows.height * windows.width + 1).reshape(1, windows.height, windows.width, 1)
    split = np.asarray(windows.split(jnp.asarray(cells)))[..., 0]  # 0 is padding
    mask = np.broadcast_to(windows.mask()[:, 0], (*split.shape, split.shape[-1]))
    seen = set()
    for window, sees in zip(split, mask, strict=True):
        for i in np.flatnonzero(window):
            assert sees[i, i]
            keys = window[sees[i]]
            assert (keys > 0).all()
            rows, columns = np.divmod(keys - 1, windows.width)
            row, column = divmod(window[i] - 1, windows.width)
            assert np.abs(rows - row).max() < windows.size
            assert np.abs(columns - column).max() < windows.size
            seen |= set(keys)
    assert seen == set(range(1, windows.height * windows.width + 1))


def dense_reference(module, params, x):
    """The same attention as one product over the whole grid with an explicit mask and absolute positions."""
    _, height, width, features = x.shape
    windows = Windows(height, width, module.window, module.shifted)
    rows, columns = np.mgrid[:height, :width].reshape(2, -1)

    def window_of(index, length, size, shift):
        padded = -(-length // size) * size
        start = (index - shift) % padded
        return np.stack([start // size, index < shift])  # wrapped cells share a window but not a side

    place = np.concatenate(
        [
            window_of(rows, height, windows.shape[0], windows.shift[0]),
            window_of(columns, width, windows.shape[1], windows.shift[1]),
        ]
    )
    mask = (place[:, :, None] == place[:, None, :]).all(0)
    flat = x.reshape(len(x), -1, features)
    query, key, value = ((flat @ params[n]["kernel"]).reshape(*flat.shape[:2], HEADS, -1) for n in ("query", "key", "value"))
    angle = rope.grid_angles(jnp.asarray(rows), jnp.asarray(columns), features // HEADS)
    y = jax.nn.dot_product_attention(rope.rotate(query, angle), rope.rotate(key, angle), value, mask=mask[None, None])
    return (y.reshape(flat.shape) @ params["output"]["kernel"]).reshape(x.shape)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("grid", [(6, 9), (3, 10)])
def test_windows_equal_a_dense_masked_reference(grid, shifted, randomize):
    module = GridAttention(HEADS, window=4, shifted=shifted)
    x = jax.random.normal(jax.random.key(1), (2, *grid, WIDTH))
    params = randomize(jax.eval_shape(lambda: module.init(jax.random.key(0), x))["params"])
    ours = jax.jit(module.apply)({"params": params}, x)
    theirs = jax.jit(lambda p, x: dense_reference(module, p, x))(params, x)
    np.testing.assert_allclose(ours, theirs, atol=5e-5)


def test_whole_windows_can_change_places(randomize):
    module = GridAttention(HEADS, window=4)
    x = jax.random.normal(jax.random.key(1), (1, 8, 12, WIDTH))
    params = randomize(jax.eval_shape(lambda: module.init(jax.random.key(0), x)))
    moved = jnp.roll(x, (4, 8), axis=(1, 2))
    apply = jax.jit(module.apply)
    np.testing.assert_allclose(apply(params, moved), jnp.roll(apply(params, x), (4, 8), axis=(1, 2)), atol=1e-5)


def test_weights_do_not_depend_on_the_grid_and_neither_does_a_window(randomize):
    module = GridAttention(HEADS, window=4)
    x = jax.random.normal(jax.random.key(1), (1, 12, 8, WIDTH))
    params = randomize(jax.eval_shape(lambda: module.init(jax.random.key(0), x)))
    apply = jax.jit(module.apply)
    np.testing.assert_allclose(apply(params, x)[:, :4, :4], apply(params, x[:, :4, :4]), atol=1e-5)


def test_shifted_windows_join_neighbours_but_not_opposite_ends(randomize):
    module = GridAttention(HEADS, window=4, shifted=True)
    x = jax.random.normal(jax.random.key(1), (1, 8, 8, WIDTH))
    params = randomize(jax.eval_shape(lambda: module.init(jax.random.key(0), x)))

    def sensitivity(y):  # of the row of cells y to each row of the input
        gradient = jax.jit(jax.grad(lambda x: module.apply(params, x)[0, y].sum()))(x)
        return np.abs(gradient[0]).sum((1, 2)) > 0

    np.testing.assert_array_equal(np.flatnonzero(sensitivity(3)), [2, 3, 4, 5])
    np.testing.assert_array_equal(np.flatnonzero(sensitivity(0)), [0, 1])
    np.testing.assert_array_equal(np.flatnonzero(sensitivity(7)), [6, 7])


def test_attend_equals_the_library():
    query, key, value = jax.random.normal(jax.random.key(0), (3, 2, 5, HEADS, 8))
    mask = jnp.tril(jnp.ones((5, 5), bool))[None, None]
    expected = jax.nn.dot_product_attention(query, key, value, mask=mask)
    np.testing.assert_allclose(attend(query, key, value, mask), expected, atol=1e-6)
