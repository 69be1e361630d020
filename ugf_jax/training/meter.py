"""Follows the metrics of a running loop: one step behind the device, averaged between two log lines."""

import resource
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from etils import epath

from ugf_jax.errors import InputError
from ugf_jax.json_files import write_json
from ugf_jax.training.data_source import HostBatch
from ugf_jax.training.flops import peak_flops
from ugf_jax.training.goodput import Goodput
from ugf_jax.training.metric_log import MetricLog
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.stage import Stage


def memory_gb() -> float:
    """Peak memory of the fullest local device, or of this process where devices do not tell (CPU), in GB."""
    peaks = [stats["peak_bytes_in_use"] for d in jax.local_devices() if (stats := d.memory_stats())]
    return max(peaks, default=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024) / 1e9


class Meter:
    """Collects step metrics, writes a line every `log_every` steps and stops a run that no longer learns.

    Metrics are read one step late: reading them at once would make the host wait for the device at every step. Where the host
    leads a step it waits anyway; they are read at once, so that a line has the time of its own steps.
    """

    def __init__(
        self,
        settings: TrainSettings,
        stage: Stage,
        count: Callable[[Mapping[str, np.ndarray]], dict[str, int]],
        log: MetricLog,
        clock: Goodput,
        schedule: Callable[[int], Any],
        flops: dict[Any, float],
        workdir: epath.Path,
    ):
        self.settings, self.stage, self.count, self.log, self.clock = settings, stage, count, log, clock
        self.schedule, self.flops, self.workdir = schedule, flops, workdir
        self.peak = peak_flops(jax.devices()[0])
        self.pending: tuple[int, HostBatch, dict[str, jax.Array]] | None = None
        self.window: list[dict[str, np.ndarray]] = []
        self.latest: dict[str, float] = {}
        self.warned: set[str] = set()
        self.running = True
        self._restart()

    def begin(self) -> None:
        """A step is about to be dispatched: time counts again."""
        if not self.running:
            self.since, self.running = time.monotonic(), True

    def push(self, step: int, batch: HostBatch, metrics: dict[str, jax.Array]) -> None:
        """Takes a dispatched step and reads the one before it."""
        self._read_pending()
        self.pending = step, batch, metrics
        if self.stage.advance:
            self._read_pending()

    def flush(self) -> None:
        """Reads the step in flight, so that nothing is reported or saved before it is known to be sound."""
        self._read_pending()
        self._pause()

    def _read_pending(self) -> None:
        if self.pending:
            before, self.pending = self.pending, None
            self._read(*before)

    def _read(self, step: int, batch: HostBatch, metrics: dict[str, jax.Array]) -> None:
        values = jax.device_get(metrics)
        for name, number in self.count(batch.arrays).items():
            self.counts[name] = self.counts.get(name, 0) + number * jax.process_count()
        self.work += self.flops[batch.bucket]
        self.window.append(values)
        if values["bad_steps"] >= self.settings.max_bad_steps:
            self._give_up(step, batch, values)
        why = self.stage.stop(values) if self.stage.stop else None
        if why or step % self.settings.log_every == 0 or step == self.settings.steps:
            self._report(step)
        if why:
            self.clock.stop("limit", step)
            raise InputError(f"stopped after step {step}, which is not saved: {why}; the last checkpoint before it is kept")

    def _report(self, step: int) -> None:
        means = {
            k: (np.sum if k.startswith("counts/") else np.mean)([v[k] for v in self.window], axis=0) for k in self.window[0]
        }
        seconds = max(self.busy + time.monotonic() - self.since, 1e-9)
        flops_per_second = self.work / seconds
        values, warnings = self.stage.summarize(means)
        values |= {
            "learning_rate": float(self.schedule((step - 1) * self.stage.updates)),
            **{f"{name}_per_second": number / seconds for name, number in self.counts.items()},
            "seconds_per_step": seconds / len(self.window),
            "goodput": self.clock.goodput(),
            "memory_gb": memory_gb(),
        }
        if self.work:
            values["gflops_per_second"] = flops_per_second / 1e9
        if self.peak and self.work:
            values["mfu"] = flops_per_second / (self.peak * jax.device_count())
        self.latest = values
        self.log.write(step, "train", values)
        self.clock.mark(step)
        for topic in set(warnings) - self.warned:
            self.warned.add(topic)
            self.log.note(f"warning: {warnings[topic]}")
        self._restart()

    def _restart(self) -> None:
        self.window, self.counts, self.work = [], dict[str, int](), 0.0
        self.busy, self.since, self.running = 0.0, time.monotonic(), True

    def _pause(self) -> None:
        # Evaluation and saving are not part of the rate of training; goodput counts them.
        if self.running:
            self.busy += time.monotonic() - self.since
            self.running = False

    def _give_up(self, step: int, batch: HostBatch, values: dict[str, np.ndarray]) -> None:
        process = jax.process_index()  # each has its own rows
        path = self.workdir / "diagnostics" / (f"step-{step}.json" if process == 0 else f"step-{step}-process-{process}.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        recent = [{k: repr(v) for k, v in w.items() if np.ndim(v) == 0} for w in self.window[-self.settings.max_bad_steps :]]
        rows = batch.arrays["row"].tolist() if "row" in batch.arrays else None  # documents of several records have none
        bundle = {"step": step, "bucket": str(batch.bucket), "rows": rows, "metrics": recent}
        write_json(path, bundle)
        self.clock.stop("not finite", step)
        raise InputError(
            f"loss or gradient not finite for {int(values['bad_steps'])} updates in a row at step {step}; all were skipped. "
            f"See {path}; try a lower config.optimizer.learning_rate"
        )
