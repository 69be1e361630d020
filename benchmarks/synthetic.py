"""Batches of a config without its data: random documents and images of the shapes that training would have."""

from typing import Any

import numpy as np

from ugf_jax.data.documents import CODE, TEXT
from ugf_jax.planning.batches import Specs

IMAGES = 4  # documents of a row, each with an image


def random_batch(settings: Any, specs: Specs) -> dict[str, np.ndarray]:
    """A batch of these shapes, every document half image and half text."""
    rng = np.random.default_rng(0)
    if settings.stage != "unified":
        return {name: rng.integers(0, 256, shape, dtype) for name, (shape, dtype) in specs.items()}
    rows, length = specs["tokens"][0]
    auxiliary, part = specs["aux_segments"][0][1], length // IMAGES
    span = min(settings.model.grid**2, part // 2)
    positions = np.tile(np.arange(length) % part, (rows, 1))
    memory = np.tile(np.arange(auxiliary) * IMAGES // max(auxiliary, 1), (rows, 1))
    in_image = (positions >= 3) & (positions < 3 + span)
    values: dict[str, Any] = {
        "tokens": rng.integers(0, settings.vocabulary.total, (rows, length)),
        "segments": np.tile(1 + np.arange(length) // part, (rows, 1)),
        "positions": positions,
        "kinds": np.where(in_image, CODE, np.where(positions > 3 + span, TEXT, 0)),
        "cells": np.where(in_image, positions - 3, -1),
        "aux_codes": rng.integers(0, settings.model.memory.codes, specs["aux_codes"][0]),
        "aux_segments": 1 + memory,
        "aux_releases": np.full((rows, auxiliary), 3 + span),
        "aux_levels": np.zeros((rows, auxiliary)),
        "aux_places": rng.uniform(0.1, 0.9, specs["aux_places"][0]),
        "pairs": np.tile(np.arange(specs["pairs"][0][1] * 2).reshape(-1, 2) % length, (rows, 1, 1)),
    }
    return {name: np.asarray(values[name], dtype) for name, (_, dtype) in specs.items()}
