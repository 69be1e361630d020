"""Time and temporary memory of each implementation of attention that the device at hand can run.

  python benchmarks/attention.py               # small shapes; a minute on two CPU cores
  python benchmarks/attention.py --size=h100   # shapes of a 1.2B model in bfloat16; wants a GPU or a TPU

Self-attention is over packed rows of `DOCUMENTS` documents; cross-attention is from such rows to an auxiliary memory of as many
images, each seen from somewhere in its document on, and one key that all see. Beside the implementations stand
`jax.nn.dot_product_attention` with a dense mask and, on an NVIDIA GPU, its cuDNN kernel. All results are compared first;
then runs are interleaved, and the least of `--repeats` counts. "both" is the forward and backward pass. The last column is
its time against that of the reference. Interpreted kernels (Pallas on a CPU) are left out: their time says nothing.
"""

import functools
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
from absl import app, flags, logging

from ugf_jax.models.visible import EVERY, Visibility, attend

SIZE = flags.DEFINE_enum("size", "small", ["small", "h100"], "Which shapes.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs; the least is shown.", lower_bound=3)
DOCUMENTS = 4

Attention = Callable[[jax.Array, jax.Array, jax.Array, Visibility], jax.Array]

# (rows, queries, auxiliary tokens or 0 for self-attention, heads, kv heads, features)
SHAPES = {
    "small": [(2, 512, 0, 4, 2, 32), (2, 1024, 0, 4, 2, 32), (2, 512, 1024, 4, 2, 32), (2, 512, 4096, 4, 2, 32)],
    "h100": [
        (8, 2048, 0, 16, 8, 128),
        (2, 8192, 0, 16, 8, 128),
        (8, 2048, 4096, 16, 8, 128),
        (2, 2048, 16384, 16, 8, 128),
        (8, 2048, 0, 32, 8, 64),
    ],
}
DTYPES = {"small": jnp.float32, "h100": jnp.bfloat16}
TOLERANCE = {"small": 1e-4, "h100": 0.05}  # of the greatest number of the reference's output and gradients


def inputs(rows: int, queries: int, keys: int, heads: int, kv_heads: int, features: int) -> tuple[Any, ...]:
    """Random query, key and value and the visibility of packed rows."""
    rng = np.random.default_rng(0)
    lengths = np.diff([0, *sorted(rng.choice(np.arange(1, queries), DOCUMENTS - 1, replace=False)), queries])
    segments = np.repeat(np.arange(1, DOCUMENTS + 1), lengths)
    positions = np.concatenate([np.arange(n) for n in lengths])
    if keys:
        of_image = np.repeat(np.arange(DOCUMENTS), keys // DOCUMENTS)
        key_segments = np.concatenate([[EVERY], of_image + 1])
        releases = np.concatenate([[0], (lengths // 3)[of_image]])
    else:
        key_segments, releases = segments, positions
    every_row = [np.tile(x.astype(np.int32), (rows, 1)) for x in (segments, positions, key_segments, releases)]
    shapes = (queries, heads), (len(releases), kv_heads), (len(releases), kv_heads)
    arrays = [rng.standard_normal((rows, *shape, features), np.float32) for shape in shapes]
    return *(jnp.asarray(x, DTYPES[SIZE.value]) for x in arrays), Visibility(*map(jnp.asarray, every_row))


def library(implementation: str, query: jax.Array, key: jax.Array, value: jax.Array, seen: Visibility) -> jax.Array:
    """The peer: a mask as large as queries × keys."""
    return jax.nn.dot_product_attention(query, key, value, mask=seen.sees()[:, None], implementation=implementation)


def candidates(ordered: bool) -> dict[str, Attention]:
    """What the device can run, the reference first."""
    device = jax.default_backend()
    ours = ["reference", "chunked"] + ["pallas"] * (device == "gpu") + ["splash"] * (device == "tpu" and ordered)
    found: dict[str, Attention] = {n: functools.partial(attend, implementation=n, ordered=ordered) for n in ours}
    found["jax.nn"] = functools.partial(library, "xla")
    if device == "gpu" and "nvidia" in jax.devices()[0].device_kind.lower() and SIZE.value == "h100":
        found["jax.nn cuDNN"] = functools.partial(library, "cudnn")
    return found


def with_gradients(attention: Attention) -> Callable[..., tuple[jax.Array, ...]]:
    """Output and gradients of query, key and value."""

    def both(query: jax.Array, key: jax.Array, value: jax.Array, seen: Visibility) -> tuple[jax.Array, ...]:
        output, pull = jax.vjp(lambda *a: attention(*a, seen), query, key, value)
        return output, *pull(output)

    return both


def measure(shape: tuple[int, ...], table: rich.table.Table) -> None:
    """Adds a row for each implementation at one shape."""
    arguments = inputs(*shape)
    functions = candidates(ordered=not shape[2])
    forward = {n: jax.jit(f).lower(*arguments).compile() for n, f in functions.items()}
    both = {n: jax.jit(with_gradients(f)).lower(*arguments).compile() for n, f in functions.items()}
    expected = [np.asarray(x, np.float32) for x in both["reference"](*arguments)]
    greatest = max(np.abs(x).max() for x in expected)
    for name, run in both.items():
        for ours, theirs in zip(run(*arguments), expected, strict=True):
            difference = np.abs(np.asarray(ours, np.float32) - theirs).max() / greatest
            if not difference < TOLERANCE[SIZE.value]:
                raise RuntimeError(f"{name} differs from the reference by {difference:.2g} at {shape}")
    least = {(kind, name): np.inf for kind in ("forward", "both") for name in functions}
    for _ in range(REPEATS.value):
        for kind, runs in (("forward", forward), ("both", both)):
            for name, run in runs.items():
                begin = time.perf_counter()
                jax.block_until_ready(run(*arguments))
                least[kind, name] = min(least[kind, name], time.perf_counter() - begin)
    rows, queries, keys, heads, kv_heads, features = shape
    what = f"{rows} × {queries:,} " + (f"→ {keys + 1:,}" if keys else "self") + f", {heads}/{kv_heads} × {features}"
    for name in functions:
        memory = [runs[name].memory_analysis().temp_size_in_bytes / 2**20 for runs in (forward, both)]
        times = [1e3 * least[kind, name] for kind in ("forward", "both")]
        ratio = least["both", name] / least["both", "reference"]
        table.add_row(what, name, *(f"{x:,.4g}" for x in (*times, *memory)), f"{ratio:.2f}")
        what = ""
    table.add_section()


def main(_: list[str]) -> None:
    """Prints what it runs on and the table."""
    logging.set_verbosity(logging.WARNING)
    device = f"{jax.device_count()} × {jax.devices()[0].device_kind} ({platform.machine()}, {os.cpu_count()} cores)"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jaxlib", "ugf-jax"))
    print(f"{device}; Python {sys.version.split()[0]}, {versions}")
    print(f"--size={SIZE.value}, {DTYPES[SIZE.value].__name__}, {DOCUMENTS} documents a row, least of {REPEATS.value}")
    table = rich.table.Table()
    for name in ("rows × queries → keys, heads/kv heads × features", "implementation"):
        table.add_column(name)
    for name in ("forward ms", "both ms", "forward MiB", "both MiB", "both / reference"):
        table.add_column(name, justify="right")
    for shape in SHAPES[SIZE.value]:
        measure(shape, table)
    rich.console.Console(width=130).print(table)


if __name__ == "__main__":
    app.run(main)
