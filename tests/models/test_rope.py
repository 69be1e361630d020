import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models import rope

FEATURES = 16


def dot(query, key, angle_q, angle_k):
    return jnp.sum(rope.rotate(query[None, None], angle_q[None]) * rope.rotate(key[None, None], angle_k[None]))


@pytest.fixture
def vectors():
    return jax.random.normal(jax.random.key(0), (2, FEATURES))


def test_products_depend_on_the_difference_of_positions_only(vectors):
    def at(i, j):
        return dot(*vectors, *rope.angles(jnp.array([i, j]), FEATURES))

    np.testing.assert_allclose(at(3, 1), at(40, 38), atol=1e-5)
    assert abs(at(3, 1) - at(1, 3)) > 1e-2


def test_products_on_a_grid_depend_on_both_differences(vectors):
    def at(p, q):
        rows, columns = jnp.array([p, q]).T
        return dot(*vectors, *rope.grid_angles(rows, columns, FEATURES))

    np.testing.assert_allclose(at((2, 5), (1, 7)), at((9, 6), (8, 8)), atol=1e-5)
    assert abs(at((2, 5), (1, 7)) - at((2, 5), (1, 6))) > 1e-3
    assert abs(at((2, 5), (1, 7)) - at((2, 5), (2, 7))) > 1e-3


def test_rotation_keeps_length_and_position_zero(vectors):
    x = vectors[:, None]  # [positions, heads, features]
    turned = rope.rotate(x, rope.angles(jnp.array([0, 17]), FEATURES))
    np.testing.assert_array_equal(turned[0], x[0])
    np.testing.assert_allclose(jnp.linalg.norm(turned, axis=-1), jnp.linalg.norm(x, axis=-1), rtol=1e-6)


def test_odd_widths_are_refused():
    with pytest.raises(ValueError, match="even"):
        rope.angles(jnp.arange(2), 3)
    with pytest.raises(ValueError, match="multiple of 4"):
        rope.grid_angles(jnp.arange(2), jnp.arange(2), 6)
