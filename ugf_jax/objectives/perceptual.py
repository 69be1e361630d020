"""Feature matching under a network that the user supplies; this package ships no weights."""

import importlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from ugf_jax.errors import InputError

FeatureNetwork = Callable[[jax.Array], Sequence[jax.Array]]


def find_network(name: str) -> FeatureNetwork:
    """The network of a user's own module.

    Args:
      name: `"package.module:function"`; the function takes nothing, loads what it needs and returns the network.

    Raises:
      InputError: there is no such module or function.
    """
    module, _, function = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"perceptual network '{name}' cannot be imported ({error}); want package.module:function on the Python path"
        ) from error
    network: FeatureNetwork = make()
    return network


def feature_matching_loss(
    network: FeatureNetwork,
    prediction: jax.Array,
    target: jax.Array,
    layer_weights: Sequence[float] | None = None,
) -> jax.Array:
    """Distance of two batches of images in the features of `network`, a float32 scalar.

    Features are scaled to unit length over channels at each position and compared by squared distance, averaged over
    positions (Zhang et al. 2018, section 3, with one weight a layer instead of one a channel).

    Args:
      network: maps float images `[batch, height, width, 3]` in [-1, 1] to a list of features `[batch, h, w, channels]`;
        its parameters are bound inside, e.g. `lambda x: vgg.apply(variables, x)`.
      prediction, target: such images. No gradient flows through the target's features.
      layer_weights: one factor for each layer; default 1 for each.

    Raises:
      InputError: as many weights as layers were not given, or the network returned no features.
    """
    wanted = [jax.lax.stop_gradient(f) for f in network(target)]
    features = list(network(prediction))
    if not features:
        raise InputError("perceptual network: it returned no features; want a list of arrays [batch, h, w, channels]")
    factors = [1.0] * len(features) if layer_weights is None else list(layer_weights)
    if len(factors) != len(features):
        raise InputError(f"perceptual layer_weights: {len(factors)} given; the network has {len(features)} layers")
    total = jnp.zeros((), jnp.float32)
    for factor, a, b in zip(factors, features, wanted, strict=True):
        total += factor * jnp.mean(jnp.sum(jnp.square(_unit(a) - _unit(b)), axis=-1))
    return total


def _unit(features: jax.Array) -> jax.Array:
    """Unit length over channels, with a finite gradient where all channels are 0 (after a ReLU)."""
    features = features.astype(jnp.float32)
    return features * jax.lax.rsqrt(jnp.sum(jnp.square(features), axis=-1, keepdims=True) + 1e-10)
