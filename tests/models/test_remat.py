"""What recomputed blocks keep: more from policy to policy, and most without any recomputation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ugf_jax.models.fusion import KEPT, FusionSettings, FusionTransformer, Tokens

ROWS, POSITIONS = 2, 160  # more positions than a dense mask is quick for, so that attention runs in blocks
SETTINGS = FusionSettings(width=16, depth=2, heads=2, hidden=32, cross_every=0, embedding=0)


def kept_bytes(settings):
    model = FusionTransformer(settings, 8)
    zeros = jnp.zeros((ROWS, POSITIONS), jnp.int32)
    tokens = Tokens(zeros, zeros + 1, zeros, zeros - 1)
    batch = {"tokens": zeros, "segments": zeros, "positions": zeros, "cells": zeros}
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), batch, method="everything"))["params"]

    def pull(params):
        return jax.vjp(lambda p: jnp.sum(model.apply({"params": p}, tokens)), params)[1]

    arrays = jax.tree.leaves(jax.eval_shape(pull, params))
    return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in arrays if ROWS in x.shape[:2])


def test_policies_keep_more_and_more():
    again = [kept_bytes(dataclasses.replace(SETTINGS, remat=True, remat_keep=name)) for name in KEPT]
    assert list(KEPT) == ["nothing", "attention", "products", "both"]
    sizes = [*again, kept_bytes(SETTINGS)]
    assert sizes == sorted(set(sizes))
