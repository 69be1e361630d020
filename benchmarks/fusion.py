"""Cost of a training step with one-way fusion against early fusion, as images grow.

  python benchmarks/fusion.py                        # small model; minutes on two CPU cores
  python benchmarks/fusion.py --size=large           # width 2048 in bfloat16; wants a GPU

Both models have the same width, depth, heads and text and master tokens. With one-way fusion the auxiliary codes of the image
are a memory that every second block looks into; with early fusion they stand in the causal sequence. A step is the loss of the
text behind the image and its gradient, of one row. Rows are timed in turns; the least of `--repeats` counts. The exponents are
fitted to what a step costs beyond one without any auxiliary codes.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.console
import rich.table
from absl import app, flags, logging
from measure import least_seconds, machine

from ugf_jax.models.fusion import FusionSettings, FusionTransformer, Tokens
from ugf_jax.models.memory import MemorySettings
from ugf_jax.objectives.language import mean, token_losses

SIZE = flags.DEFINE_enum("size", "small", ["small", "large"], "Which model.")
SIDES = flags.DEFINE_list("sides", ["0", "256", "512", "1024", "2048"], "Sides of the square image, in pixels; 0: no codes.")
REPEATS = flags.DEFINE_integer("repeats", 3, "Timed runs; the least is shown.", lower_bound=3)
ATTENTION = flags.DEFINE_string("attention", "auto", "Implementation of attention.")
PATCH, GRID, TEXT, GROUPS, CODES = 16, 16, 64, 4, 1000
VOCABULARY = 4096
NEVER = 2**30


def settings() -> FusionSettings:
    """The one-way model that `--size` names."""
    memory = MemorySettings(width=256, groups=GROUPS, codes=CODES, fsq_levels=(8, 5, 5, 5))
    common = {"cross_every": 2, "gate": 0.5, "grid": GRID, "embedding": 0, "attention": ATTENTION.value}
    if SIZE.value == "small":
        return FusionSettings(width=128, depth=4, heads=4, memory=dataclasses.replace(memory, width=128), **common)
    large = dataclasses.replace(memory, width=1024, heads=8)
    return FusionSettings(width=2048, depth=8, heads=16, kv_heads=8, memory=large, dtype="bfloat16", **common)


def batch(side: int, early: bool) -> dict[str, jax.Array]:
    """One row: an image, then text; the auxiliary codes as memory or, `early`, as tokens between the two."""
    rng = np.random.default_rng(0)
    rows = side // PATCH
    count = rows * rows
    in_row = count * early
    length = 4 + GRID * GRID + in_row + TEXT
    length += -length % 64
    cells = np.full(length, -1)
    cells[3 : 3 + GRID * GRID] = np.arange(GRID * GRID)
    memory = max(count * (not early), 1)
    centres = (np.stack(np.divmod(np.arange(memory), max(rows, 1)), -1) + 0.5) / max(rows, 1)
    arrays = {
        "tokens": rng.integers(0, VOCABULARY, length),
        "segments": np.ones(length),
        "positions": np.arange(length),
        "cells": cells,
        "trained": np.arange(length) >= 4 + GRID * GRID + in_row,
        "aux_codes": rng.integers(0, CODES, (memory, GROUPS)),
        "aux_segments": np.full(memory, int(count > 0 and not early)),
        "aux_releases": np.zeros(memory) if count else np.full(memory, NEVER),
        "aux_levels": np.zeros(memory),
    }
    found = {name: jnp.asarray(x[None], jnp.int32) for name, x in arrays.items()}
    places = np.concatenate([centres, np.full_like(centres, 1 / max(rows, 1))], axis=-1)
    return found | {"aux_places": jnp.asarray(places[None], jnp.float32)}


def make_step(model: FusionTransformer) -> Any:
    """`(params, batch) → (loss, gradient)`."""

    def loss(params: Any, arrays: dict[str, jax.Array]) -> jax.Array:
        def call(*arguments: Any, method: str) -> Any:
            return model.apply({"params": params}, *arguments, method=method)

        memory = call(arrays, method="remember") if model.settings.cross_every else None
        hidden = call(Tokens.of(arrays), memory, method="__call__")
        kernel = call(method="output_kernel")
        losses = token_losses(hidden[:, :-1], kernel, arrays["tokens"][:, 1:], 1024)
        return mean(losses.nll, arrays["trained"][:, 1:].astype(jnp.float32))

    return jax.jit(jax.value_and_grad(loss))


def exponent(counts: list[int], costs: list[float]) -> float:
    """Slope of log cost against log count."""
    return float(np.polyfit(np.log(counts), np.log(costs), 1)[0])


def main(_: list[str]) -> None:
    """Prints what it runs on, the table and the exponents."""
    logging.set_verbosity(logging.WARNING)
    one_way = settings()
    early = dataclasses.replace(one_way, cross_every=0)
    print(machine())
    print(f"--size={SIZE.value}: width {one_way.width}, depth {one_way.depth}, {one_way.dtype}; least of {REPEATS.value}")
    table = rich.table.Table(title="Training step, one row", title_justify="left")
    for name in ("image", "auxiliary", "one-way s", "early s", "early / one-way", "one-way MB", "early MB"):
        table.add_column(name, justify="right")
    models = [FusionTransformer(s, VOCABULARY) for s in (one_way, early)]
    params = [m.init(jax.random.key(0), batch(256, bool(i)), method="everything")["params"] for i, m in enumerate(models)]
    steps = [make_step(model) for model in models]
    counts, costs = [], []
    on_cpu = jax.default_backend() == "cpu"
    for side in map(int, SIDES.value):
        rows = [batch(side, early) for early in (False, True)]
        compiled = [step.lower(p, row).compile() for step, p, row in zip(steps, params, rows, strict=True)]
        calls = [lambda c=c, p=p, row=row: c(p, row) for c, p, row in zip(compiled, params, rows, strict=True)]
        times = least_seconds(calls, REPEATS.value)
        memory = [c.memory_analysis().temp_size_in_bytes / 1e6 for c in compiled]
        ratio = times[1][on_cpu] / times[0][on_cpu]
        count = (side // PATCH) ** 2
        table.add_row(
            f"{side}²" if side else "none",
            f"{count:,}",
            *(f"{t[0]:.3g}" for t in times),
            f"{ratio:.2f}",
            *(f"{m:,.0f}" for m in memory),
        )
        counts.append(count)
        costs.append([t[on_cpu] for t in times])
    rich.console.Console(width=110).print(table)
    if counts[0] == 0 and len(counts) > 2:
        for i, name in enumerate(("one-way", "early")):
            extra = [cost[i] - costs[0][i] for cost in costs[1:]]
            if min(extra) > 0:
                print(f"{name}: what a step costs more grows as auxiliary codes^{exponent(counts[1:], extra):.2f}")
            last = np.log(extra[-1] / extra[-2]) / np.log(counts[-1] / counts[-2]) if min(extra[-2:]) > 0 else float("nan")
            print(f"{name}: as auxiliary codes^{last:.2f} between the two largest")


if __name__ == "__main__":
    app.run(main)
