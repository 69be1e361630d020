"""What the benchmarks share: what they ran on, and the least time of several runs."""

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax


def machine(*more: str) -> str:
    """Device, Python and versions, and those of further packages."""
    device = f"{jax.device_count()} × {jax.devices()[0].device_kind} ({platform.machine()}, {os.cpu_count()} cores)"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jaxlib", "flax", "ugf-jax", *more))
    return f"{device}; Python {sys.version.split()[0]}, {versions}"


def least_seconds(calls: Sequence[Callable[[], Any]], repeats: int) -> list[tuple[float, float]]:
    """The least time of each call by the clock, and of all threads' CPU time.

    Each is called once before, which compiles; then they take turns, so that what else the machine does meets all alike.
    """
    for call in calls:
        jax.block_until_ready(call())
    found = [(float("inf"), float("inf"))] * len(calls)
    for _ in range(repeats):
        for number, call in enumerate(calls):
            begin = time.perf_counter(), time.process_time()
            jax.block_until_ready(call())
            now = time.perf_counter() - begin[0], time.process_time() - begin[1]
            found[number] = min(found[number][0], now[0]), min(found[number][1], now[1])
    return found
