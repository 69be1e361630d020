"""Plans the packing of documents for several mixtures and prints how fast, how full, and what is left over.

  python benchmarks/packing.py --records=100000

Lengths are drawn at random and held as a mapped file, as a prepared dataset holds them. Four windows of an epoch are planned.
Beside the fill of the layout that was chosen stands that of plain first-fit decreasing with the same number of rows.
"""

import dataclasses
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
from absl import app, flags

from ugf_jax.data import lengths, shards
from ugf_jax.data.document_plan import DocumentPlan, RowShape
from ugf_jax.data.packing import Layout
from ugf_jax.data.recipes import Lengths, RecipeSettings, TaskWeights

RECORDS = flags.DEFINE_integer("records", 100_000, "Records of each mixture.")
WINDOWS = flags.DEFINE_integer("windows", 4, "Windows to plan.")
CAPTION_TO_IMAGE = TaskWeights(1, 0, 0, 0, 0, 0)
ALL = TaskWeights(4, 1, 3, 0, 0.25, 1)
Draw = Callable[[np.random.Generator], Lengths]


def small(rng: np.random.Generator) -> Lengths:
    """64 master codes and a caption: documents of 70 to 100 tokens or, with questions, a few more."""
    captions = tuple(rng.integers(1, 29, 2).tolist())
    questions = tuple(zip(rng.integers(6, 12, 4).tolist(), rng.integers(1, 4, 4).tolist(), strict=True))
    return Lengths(captions, questions, (), ((64, int(rng.integers(20, 257))),))


def large(rng: np.random.Generator) -> Lengths:
    """256 master codes and captions of very different lengths."""
    captions = tuple(np.clip(rng.lognormal(4, 1, 2), 1, 800).astype(int).tolist())
    return Lengths(captions, (), (), ((256, int(rng.integers(256, 4097))),))


def texts(rng: np.random.Generator) -> Lengths:
    """Text alone, a few words up to more than a row."""
    return Lengths(tuple(np.clip(rng.lognormal(5, 1.2, 1), 1, 5000).astype(int).tolist()))


MIXTURES: dict[str, tuple[Draw, RowShape, TaskWeights]] = {
    "caption to image, 8x8 codes": (small, RowShape(512, 4096, 0), CAPTION_TO_IMAGE),
    "all tasks, 8x8 codes": (small, RowShape(512, 2048, 4), ALL),
    "the same, auxiliary binds": (small, RowShape(512, 320, 4), ALL),
    "all tasks, 8x8 codes, rows of 2048": (small, RowShape(2048, 4096, 8), ALL),
    "all tasks, 16x16 codes": (large, RowShape(2048, 16384, 4), ALL),
    "text": (texts, RowShape(2048, 0, 0), TaskWeights(0, 0, 0, 0, 1, 0)),
}


def write_lengths(path: pathlib.Path, draw: Draw, count: int) -> lengths.LengthTable:
    """A mapped file of random lengths."""
    rng = np.random.default_rng(0)
    batches = (lengths.table([draw(rng) for _ in range(min(4096, count - i))]) for i in range(0, count, 4096))
    shards.write_index(path, batches, lengths.SCHEMA)
    return lengths.LengthTable(path)


def measure(table: lengths.LengthTable, shape: RowShape, tasks: TaskWeights) -> dict[str, float]:
    """CPU seconds and shares of one mixture."""
    recipes = RecipeSettings(tasks, length=shape.length, auxiliary=shape.auxiliary)
    begin = time.process_time()
    plan = DocumentPlan([table], (), [recipes], shape, rows=16, seed=0)
    found = {"start": time.process_time() - begin}
    begin = time.process_time()
    found |= plan.statistics(WINDOWS.value)
    found["speed"] = found["documents"] / (time.process_time() - begin)
    plain = DocumentPlan([table], (), [recipes], shape, rows=16, seed=0)
    plain.layout = dataclasses.replace(plan.layout, head=Layout().head)
    first_fit = plain.statistics(WINDOWS.value)
    found |= {"plain": max(first_fit["fill"], first_fit["auxiliary_fill"]), "plain left": first_fit["remainder"]}
    return found


def main(_: list[str]) -> None:
    """Prints a table."""
    print(f"{RECORDS.value:,} records, {WINDOWS.value} windows, numpy {np.__version__}, Python {sys.version.split()[0]}")
    print(f"{'':36} docs/row  tokens  auxil.  left over | first-fit  left over | documents/s  start s")
    with tempfile.TemporaryDirectory(prefix="ugf-packing-") as folder:
        for name, (draw, shape, tasks) in MIXTURES.items():
            table = write_lengths(pathlib.Path(folder) / "lengths.arrow", draw, RECORDS.value)
            found = measure(table, shape, tasks)
            print(
                f"{name:36} {found['documents'] / found['rows']:8.1f} {found['fill']:7.1%} {found['auxiliary_fill']:7.1%} "
                f"{found['remainder']:10.2%} | {found['plain']:9.1%} {found['plain left']:10.2%} | {found['speed']:11,.0f} "
                f"{found['start']:8.2f}"
            )


if __name__ == "__main__":
    app.run(main)
