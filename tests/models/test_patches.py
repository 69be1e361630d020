import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.models.patches import (
    OverlappingPatches,
    PatchEmbedding,
    cosines,
    fade,
    falloff,
    join_patches,
    opponents,
    split_patches,
)

PATCH = 4


@pytest.fixture
def head(randomize):
    module = OverlappingPatches(PATCH)
    params = randomize(module.init(jax.random.key(0), jnp.zeros((1, 3, 5, 8))))
    return lambda x, kept=None: module.apply(params, x, kept)


@pytest.fixture
def tokens():
    return jax.random.normal(jax.random.key(2), (2, 3, 5, 8))


def test_join_undoes_split_and_a_patch_holds_its_pixels():
    image = jax.random.normal(jax.random.key(0), (2, 8, 12, 3))
    patches = split_patches(image, PATCH)
    np.testing.assert_array_equal(join_patches(patches, PATCH), image)
    np.testing.assert_array_equal(patches[1, 1, 2].reshape(4, 4, 3), image[1, 4:8, 8:12])


def test_a_size_that_patches_do_not_divide_is_refused():
    with pytest.raises(ValueError, match="multiples of the patch, 4"):
        split_patches(jnp.zeros((1, 8, 10, 3)), PATCH)


def test_embedding_is_local():
    module = PatchEmbedding(PATCH, 8)
    image = jax.random.normal(jax.random.key(0), (1, 8, 8, 3))
    params = module.init(jax.random.key(1), image)
    changed = module.apply(params, image.at[0, 1, 5].add(1)) - module.apply(params, image)
    assert np.abs(changed[0, 0, 1]).max() > 0
    np.testing.assert_array_equal(np.delete(changed.reshape(4, 8), 1, axis=0), 0)


def test_fading_weights_of_two_neighbours_sum_to_one():
    np.testing.assert_allclose(fade(6).sum(0), 1)
    assert (np.diff(fade(6)[0]) > 0).all()


def test_waves_are_orthogonal_and_equally_strong():
    for waves in (cosines(8), opponents(3)):
        np.testing.assert_allclose(waves @ waves.T, len(waves) * np.eye(len(waves)), atol=1e-5)
    np.testing.assert_allclose(opponents(3)[0], 1)
    assert falloff(8)[0, 0] == 1
    assert (np.diff(falloff(8)[0]) < 0).all()


def naive(params, x, kept):
    """Each kept token paints its 2 * patch square, faded; squares are added, and the rim is made up for."""
    batch, rows, columns, _ = x.shape
    half, side, rising = PATCH // 2, 2 * PATCH, fade(PATCH)[0]
    window = np.concatenate([rising, rising[::-1]])
    canvas = np.zeros((batch, (rows + 1) * PATCH, (columns + 1) * PATCH, 3))
    total = np.zeros((1, *canvas.shape[1:3], 1))
    for r in range(rows):
        for c in range(columns):
            waves = (x[:, r, c] @ params["kernel"] + params["bias"]).reshape(batch, side, side, 3)
            waves = waves * falloff(side)[..., None]
            square = np.einsum("buvc,uy,vx,cd->byxd", waves, cosines(side), cosines(side), opponents(3))
            where = np.s_[:, r * PATCH : (r + 2) * PATCH, c * PATCH : (c + 2) * PATCH]
            fading = window[:, None, None] * window[:, None]
            canvas[where] += square * fading * np.asarray(kept)[:, r, c, None, None, None]
            total[where] += fading
    return (canvas / np.maximum(total, 1e-9))[:, half:-half, half:-half]


def test_head_equals_painting_and_adding_squares(tokens, randomize):
    module = OverlappingPatches(PATCH)
    params = randomize(module.init(jax.random.key(0), tokens)["params"])
    kept = jax.random.bernoulli(jax.random.key(3), 0.6, tokens.shape[:3])
    np.testing.assert_allclose(module.apply({"params": params}, tokens, kept), naive(params, tokens, kept), atol=1e-5)


def test_what_is_not_kept_paints_exactly_nothing(head, tokens):
    np.testing.assert_array_equal(head(tokens, jnp.zeros((2, 3, 5), bool)), 0)
    one = jnp.zeros((2, 3, 5), bool).at[:, 1, 2].set(True)
    painted = np.abs(head(tokens, one)).max((0, 3)) > 0
    rows, columns = np.nonzero(painted)
    assert (rows.min(), rows.max()) == (PATCH - 2, 2 * PATCH + 1)
    assert (columns.min(), columns.max()) == (2 * PATCH - 2, 3 * PATCH + 1)
    np.testing.assert_array_equal(head(jnp.where(one[..., None], tokens, 1e6), one), head(tokens, one))


def test_it_starts_with_no_picture(tokens):
    module = OverlappingPatches(PATCH)
    np.testing.assert_array_equal(module.apply(module.init(jax.random.key(0), tokens), tokens), 0)


def test_equal_tokens_make_a_picture_without_patch_edges():
    # A constant painted by every token must come out constant, at the rim of the image too.
    module = OverlappingPatches(PATCH)
    params = module.init(jax.random.key(0), jnp.zeros((1, 3, 5, 8)))["params"]
    params = {"kernel": jnp.zeros_like(params["kernel"]), "bias": jnp.zeros_like(params["bias"]).at[0, 0].set(1)}
    np.testing.assert_allclose(module.apply({"params": params}, jnp.zeros((1, 3, 5, 8))), 1, rtol=1e-6)
