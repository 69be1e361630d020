"""Batches of a config without its data: the shapes that training would have."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from ugf_jax.data.buckets import make_buckets
from ugf_jax.data.collate import row_specs
from ugf_jax.data.document_plan import RowShape
from ugf_jax.data.judged import ANSWER
from ugf_jax.data.preference_loader import pair_specs
from ugf_jax.data.unitoken.loader import batch_specs as unitoken_specs
from ugf_jax.errors import InputError
from ugf_jax.models.fusion import FusionSettings
from ugf_jax.training import sharding
from ugf_jax.training.reward_model import row_kind

Specs = dict[str, tuple[tuple[int, ...], Any]]


def batch_specs(settings: Any, start: FusionSettings | None = None) -> Specs:
    """Global shape and dtype of each array of a batch; of the bucket with most pixels a batch, where there are several.

    Args:
      settings: of any stage.
      start: settings of the transformer that stages `reward` and `rlhf` start from.
    """
    if settings.stage == "unified":
        data = settings.data
        return {n: ((data.rows, *s), t) for n, (s, t) in row_specs(data.shape, settings.model.memory.groups).items()}
    if settings.stage == "unitoken":
        return unitoken_specs(settings.data)
    if settings.stage == "reward" or (settings.stage == "rlhf" and settings.algorithm == "dpo"):
        assert start is not None
        kind = row_kind(start) if settings.stage == "reward" else ANSWER
        row = RowShape(settings.data.length, settings.data.auxiliary, kind.pairs)
        return pair_specs(row, start.memory.groups, settings.data.pairs)
    if settings.stage == "rlhf":
        prompts = settings.prompts
        tokens = dict.fromkeys(("tokens", "segments", "positions", "cells"), ((prompts.count, prompts.length), np.int32))
        return {**tokens, "sizes": ((prompts.count, 2), np.int32), "row": ((prompts.count,), np.int32)}
    rows = dict(settings.data.scales)
    bucket = max(make_buckets(settings.data.bucket_settings), key=lambda b: rows[b.scale] * b.height * b.width)
    return {"image": ((rows[bucket.scale], bucket.height, bucket.width, 3), np.uint8)}


def check_scales(settings: Any, mesh: Mesh) -> None:
    """Looks at all scales of images, where a plan is of one bucket.

    Raises:
      InputError: the rows of a scale do not divide among the devices.
    """
    if settings.stage not in ("tokenizer", "detail"):
        return
    shards = mesh.shape["data"] * mesh.shape["fsdp"]
    for scale, rows in settings.data.scales:
        if rows % shards:
            raise InputError(
                f"config.data.scales: {rows} rows a batch at scale {scale}; want a multiple of data x fsdp, {shards} "
                "(see config.mesh)"
            )


def abstract_batch(specs: Specs, mesh: Mesh) -> dict[str, jax.ShapeDtypeStruct]:
    """The batch as the trainer would lay it out.

    Raises:
      InputError: its rows do not divide among the devices.
    """
    where, shards = sharding.batch_sharding(mesh), mesh.shape["data"] * mesh.shape["fsdp"]
    for shape, _ in specs.values():
        if shape[0] % shards:
            raise InputError(
                f"config.data: {shape[0]} rows a batch; want a multiple of data x fsdp, {shards} (see config.mesh)"
            )
    return {name: jax.ShapeDtypeStruct(shape, dtype, sharding=where) for name, (shape, dtype) in specs.items()}
