"""Places of cells as features."""

import jax.numpy as jnp
import numpy as np

from ugf_jax.models.places import FEATURES, cell_places, place_features


def test_cells_are_numbered_row_by_row():
    places = np.asarray(cell_places(jnp.arange(6), 4))
    np.testing.assert_allclose(places[5], [1.5 / 4, 1.5 / 4, 0.25, 0.25])
    np.testing.assert_allclose(places[3], [0.5 / 4, 3.5 / 4, 0.25, 0.25])


def test_what_has_no_place_has_no_features():
    features = np.asarray(place_features(cell_places(jnp.array([-1, 0]), 4)))
    assert features.shape == (2, FEATURES)
    assert not features[0].any()
    assert features[1].any()


def test_neighbouring_cells_of_the_finest_grid_differ():
    features = np.asarray(place_features(cell_places(jnp.arange(64 * 64), 64))).round(5)
    assert len(np.unique(features, axis=0)) == 64 * 64


def test_the_same_place_has_the_same_waves_at_any_resolution():
    coarse = place_features(jnp.array([0.25, 0.75, 0.5, 0.5]))
    fine = place_features(jnp.array([0.25, 0.75, 0.1, 0.2]))
    np.testing.assert_array_equal(coarse[:-2], fine[:-2])
    assert (coarse[-2:] != fine[-2:]).all()
