"""Cost of the tokenizers: the auxiliary tokenizer against pixels, then images a second of the whole at bucket shapes.

  python benchmarks/tokenizer.py --size=demo            # the model of experiments/demo.py; minutes on two CPU cores
  python benchmarks/tokenizer.py --size=base            # the default model; wants an accelerator

The first table is the claim that the auxiliary tokenizer's cost is linear in pixels: seconds a megapixel should stay flat and
the exponent, fitted to seconds against pixels over the sizes from `--fit_from` on, should be about 1. Weights are random:
cost does not depend on them. Every figure is the least of `--repeats` runs after one that compiles. On CPU the exponent is
fitted to CPU seconds of all threads, which other programs on the machine change less than they change the time on the clock.
"""

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

from ugf_jax.models.auxiliary import AuxiliarySettings, AuxiliaryTokenizer, choose_positions, position_energy
from ugf_jax.models.master import MasterSettings
from ugf_jax.models.tokenizer import DualTokenizer, TokenizerSettings

SIZE = flags.DEFINE_enum("size", "demo", ["demo", "base"], "Which model.")
SIDES = flags.DEFINE_list("sides", ["256", "512", "768", "1024", "1536", "2048"], "Sides of the square images, in pixels.")
BUCKETS = flags.DEFINE_list(
    "buckets", ["256x256", "160x400", "400x160", "512x512", "1024x1024"], "Shapes for the second table, height x width."
)
FIT_FROM = flags.DEFINE_integer("fit_from", 256, "Smallest side that counts for the exponent.")
BATCH_PIXELS = flags.DEFINE_integer("batch_pixels", 2**20, "Pixels of a batch of the second table; at least one image.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs; the least is shown.", lower_bound=3)
DTYPE = flags.DEFINE_enum("dtype", "float32", ["float32", "bfloat16"], "Of the computation.")


def settings() -> TokenizerSettings:
    """The model that `--size` names."""
    if SIZE.value == "base":
        return TokenizerSettings(dtype=DTYPE.value)
    small = {"width": 128, "depth": 4, "heads": 4}
    return TokenizerSettings(MasterSettings(**small), AuxiliarySettings(**small), dtype=DTYPE.value)


def least_seconds(function: Callable[..., Any], *arguments: Any) -> tuple[float, float]:
    """The least time of a call by the clock, and of all threads' CPU time; after a call that compiles."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(REPEATS.value):
        begin = time.perf_counter(), time.process_time()
        jax.block_until_ready(function(*arguments))
        times.append((time.perf_counter() - begin[0], time.process_time() - begin[1]))
    clock, cpu = np.min(times, axis=0)
    return float(clock), float(cpu)


def exponent(pixels: list[int], seconds: list[float]) -> float:
    """Slope of log seconds against log pixels."""
    return float(np.polyfit(np.log(pixels), np.log(seconds), 1)[0])


def auxiliary_cost(model: TokenizerSettings) -> None:
    """Prints the cost of coding and of decoding one residual, against pixels."""
    part = model.auxiliary
    tokenizer = AuxiliaryTokenizer(part, jnp.dtype(model.dtype))

    def up_and_residual(side: int) -> tuple[jax.Array, jax.Array]:
        shape = (1, side, side, 3)
        return jnp.zeros(shape), 0.2 * jax.random.normal(jax.random.key(side), shape)

    def encode(variables: Any, up: jax.Array, residual: jax.Array) -> jax.Array:
        kept = choose_positions(position_energy(residual, part.patch), part.keep, part.threshold)
        return tokenizer.apply(variables, residual, up, kept, 0, method="quantize").index

    def decode(variables: Any, index: jax.Array, up: jax.Array) -> jax.Array:
        return tokenizer.apply(variables, index, up, jnp.ones(index.shape[:3], bool), 0, method="decode")

    up, residual = up_and_residual(2 * part.patch)
    variables = tokenizer.init(jax.random.key(0), residual, up, jnp.ones((1, 2, 2), bool), 0)
    encode, decode = jax.jit(encode), jax.jit(decode)
    table = rich.table.Table(title="Auxiliary tokenizer, one image", title_justify="left")
    on_cpu = jax.default_backend() == "cpu"
    unit = "CPU s" if on_cpu else "s"
    for name in ("pixels", "tokens", "encode s", f"{unit} / megapixel", "decode s", f"{unit} / megapixel"):
        table.add_column(name, justify="right")
    sides = [int(side) for side in SIDES.value]
    counted: dict[str, list[float]] = {"encode": [], "decode": []}
    for side in sides:
        up, residual = up_and_residual(side)
        index = encode(variables, up, residual)
        figures = []
        for name, call in (("encode", (encode, variables, up, residual)), ("decode", (decode, variables, index, up))):
            times = least_seconds(*call)
            counted[name].append(times[on_cpu])
            figures += [f"{times[0]:.4g}", f"{times[on_cpu] / (side * side / 1e6):.4g}"]
        table.add_row(f"{side}²", f"{(side // part.patch) ** 2:,}", *figures)
    rich.console.Console(width=110).print(table)
    fitted = [i for i, side in enumerate(sides) if side >= FIT_FROM.value]
    for name, seconds in counted.items() if len(fitted) > 1 else ():
        value = exponent([sides[i] ** 2 for i in fitted], [seconds[i] for i in fitted])
        print(f"{name}: {unit} grow as pixels^{value:.3f} from {sides[fitted[0]]}² to {sides[-1]}²")


def throughput(model: TokenizerSettings) -> None:
    """Prints images a second of the whole tokenizer at bucket shapes."""
    tokenizer = DualTokenizer(model)
    patch = model.auxiliary.patch
    variables = tokenizer.init(jax.random.key(0), jnp.zeros((1, 2 * patch, 2 * patch, 3)))
    encode = jax.jit(lambda v, image: tokenizer.apply(v, image, method="encode"))
    decode = jax.jit(lambda v, codes, h, w: tokenizer.apply(v, codes, h, w, method="decode").recon, static_argnums=(2, 3))
    table = rich.table.Table(title="Master and auxiliary", title_justify="left")
    for name in ("bucket", "batch", "codes an image", "encode images/s", "decode images/s", "encode megapixels/s"):
        table.add_column(name, justify="right")
    for bucket in BUCKETS.value:
        height, width = map(int, bucket.split("x"))
        batch = max(1, BATCH_PIXELS.value // (height * width))
        image = jax.random.uniform(jax.random.key(1), (batch, height, width, 3), minval=-1, maxval=1)
        codes = encode(variables, image)
        count = codes.master[0].size + sum(a[0].size for a in codes.auxiliary)
        coding = batch / least_seconds(encode, variables, image)[0]
        decoding = batch / least_seconds(decode, variables, codes, height, width)[0]
        table.add_row(
            bucket, str(batch), f"{count:,}", f"{coding:.1f}", f"{decoding:.1f}", f"{coding * height * width / 1e6:.2f}"
        )
    rich.console.Console(width=110).print(table)


def main(_: list[str]) -> None:
    """Prints what it runs on and the two tables."""
    logging.set_verbosity(logging.WARNING)
    model = settings()
    device = f"{jax.device_count()} × {jax.devices()[0].device_kind} ({platform.machine()}, {os.cpu_count()} cores)"
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("jax", "jaxlib", "flax", "ugf-jax"))
    print(f"{device}; Python {sys.version.split()[0]}, {versions}")
    sizes = ", ".join(f"{n}: width {getattr(model, n).width}, depth {getattr(model, n).depth}" for n in ("master", "auxiliary"))
    print(f"--size={SIZE.value} ({sizes}), {model.dtype}, least of {REPEATS.value}")
    auxiliary_cost(model)
    throughput(model)


if __name__ == "__main__":
    app.run(main)
