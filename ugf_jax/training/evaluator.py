"""Periodic evaluation while training: the same images every time, and a grid of pictures to look at."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from ugf_jax.data.buckets import make_buckets
from ugf_jax.data.index import open_dataset
from ugf_jax.data.loader import Batch
from ugf_jax.data.once import batches_once
from ugf_jax.training import sharding
from ugf_jax.training.metric_log import MetricLog
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stage import ModelState, Params, Stage
from ugf_jax.training.state import TrainState


class Evaluator:
    """Measures the average of the parameters (or the parameters themselves, where none is kept) on fixed images."""

    def __init__(self, settings: TrainSettings, stage: Stage, mesh: jax.sharding.Mesh, workdir: epath.Path, log: MetricLog):
        self.settings, self.stage, self.mesh, self.workdir, self.log = settings, stage, mesh, workdir, log
        everywhere = sharding.replicated(mesh)  # a process can read only what its own devices hold
        self.measure = jax.jit(functools.partial(_sums, stage), out_shardings=everywhere)
        self.sample = jax.jit(stage.sample, out_shardings=everywhere) if stage.sample else None
        self.latest: dict[str, float] = {}
        self.batches: list[Batch] = []
        if settings.evaluation.dataset:
            self.batches = list(
                batches_once(
                    open_dataset(settings.evaluation.dataset),
                    make_buckets(settings.data.bucket_settings),
                    settings.data.bucket_settings,
                    settings.evaluation.batch_size,
                    settings.evaluation.images,
                    jax.process_index(),
                    jax.process_count(),
                )
            )

    def run(self, step: int, state: TrainState) -> None:
        """Writes a `validation` line and a sample grid."""
        if not self.batches:
            return
        params = state.ema or state.params
        sums: dict[str, float] = {}
        count = 0.0
        for batch in self.batches:
            arrays = sharding.to_global({k: batch.arrays[k] for k in ("image", "mask")}, self.mesh)
            batch_sums, batch_count = jax.device_get(self.measure(params, state.model_state, arrays))
            for name, value in batch_sums.items():
                sums[name] = sums.get(name, 0.0) + float(value)
            count += float(batch_count)
        self.latest = {name: total / count for name, total in sums.items()}
        self.log.write(step, "validation", self.latest)
        if self.sample and self.settings.evaluation.samples:
            self.log.images(step, "reconstruction", self.grid(state))

    def grid(self, state: TrainState) -> np.ndarray:
        """The first images of as many different buckets as there are, one row each: uint8 `[H, W, 3]`."""
        assert self.sample is not None
        rows: list[np.ndarray] = []
        per_batch = max(1, -(-self.settings.evaluation.samples // len(self.batches)))
        for batch in self.batches:
            arrays = sharding.to_global({"image": batch.arrays["image"]}, self.mesh)
            pictures = self.sample(state.ema or state.params, state.model_state, arrays)
            rows += [_as_row(p) for p in np.asarray(jax.device_get(pictures))[:per_batch]]
            if len(rows) >= self.settings.evaluation.samples:
                break
        width = max(r.shape[1] for r in rows)
        return np.concatenate([np.pad(r, ((0, 4), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows])


def _sums(
    stage: Stage, params: Params, state: ModelState, arrays: dict[str, jax.Array]
) -> tuple[dict[str, jax.Array], jax.Array]:
    """The measures summed over the images of a batch that the mask counts, and their number."""
    mask = arrays["mask"].astype(jnp.float32)
    values = stage.evaluate(params, state, {"image": arrays["image"]})
    return {name: jnp.sum(value * mask) for name, value in values.items()}, jnp.sum(mask)


def _as_row(pictures: np.ndarray) -> np.ndarray:
    """Float `[columns, H, W, 3]` in [-1, 1] → uint8 `[H, columns·(W+4), 3]`."""
    pixels = np.clip(np.round((pictures + 1) * 127.5), 0, 255).astype(np.uint8)
    return np.concatenate([np.pad(p, ((0, 0), (0, 4), (0, 0)), constant_values=255) for p in pixels], axis=1)
