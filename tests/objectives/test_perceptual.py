import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.errors import InputError
from ugf_jax.objectives.perceptual import feature_matching_loss, find_network


def network(x):
    features = [jax.nn.relu(x @ jax.random.normal(jax.random.key(0), (3, 8)))]
    features.append(jax.nn.relu(features[0][:, ::2, ::2] @ jax.random.normal(jax.random.key(1), (8, 4))))
    return features


@pytest.fixture
def images():
    keys = jax.random.split(jax.random.key(2))
    return [jax.random.uniform(k, (2, 8, 12, 3), minval=-1, maxval=1) for k in keys]


def test_zero_for_equal_images_and_positive_otherwise(images):
    x, y = images
    assert float(feature_matching_loss(network, x, x)) == 0
    assert float(feature_matching_loss(network, y, x)) > 0.01


def test_weights_count_layers_and_scale_of_features_does_not_matter(images):
    x, y = images
    layers = [float(feature_matching_loss(network, y, x, w)) for w in ((1, 0), (0, 1))]
    np.testing.assert_allclose(feature_matching_loss(network, y, x, (2, 3)), 2 * layers[0] + 3 * layers[1], rtol=1e-5)
    scaled = feature_matching_loss(lambda v: [7 * f for f in network(v)], y, x)
    np.testing.assert_allclose(scaled, sum(layers), rtol=1e-4)


def test_gradient_reaches_the_prediction_alone_and_is_finite_at_dead_features(images):
    x, y = images
    slopes = jax.jit(jax.grad(lambda p, t: feature_matching_loss(network, p, t), argnums=(0, 1)))
    to_prediction, to_target = slopes(y, x)
    assert float(jnp.abs(to_prediction).max()) > 0
    assert (to_target == 0).all()
    dead = jax.grad(lambda p: feature_matching_loss(lambda v: [jax.nn.relu(v)], p, x))(-jnp.ones_like(x))
    assert np.isfinite(dead).all()


def test_wrong_number_of_weights_is_named(images):
    with pytest.raises(InputError, match="layer_weights: 3 given; the network has 2"):
        feature_matching_loss(network, *images, (1, 1, 1))
    with pytest.raises(InputError, match="no features"):
        feature_matching_loss(lambda x: [], *images)


def test_a_network_is_found_by_name(tmp_path, monkeypatch, images):
    (tmp_path / "my_features.py").write_text("def make():\n    return lambda x: [x[..., :2], x[:, ::2]]\n")
    monkeypatch.syspath_prepend(tmp_path)
    network = find_network("my_features:make")
    assert [f.shape[-1] for f in network(images[0])] == [2, 3]
    for name in ("my_features:missing", "no_such_module:make", "my_features", ""):
        with pytest.raises(InputError, match=rf"perceptual network '{name}' cannot be imported"):
            find_network(name)
