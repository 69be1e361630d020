"""Plans an epoch of very many images and prints time and memory.

  python benchmarks/plan.py --images=100000000

makes a synthetic index of sizes in a temporary file, maps it into memory as a prepared dataset's index is, and reads
batches from the beginning, the middle and the end of epochs in a fresh process whose private memory is limited to 2 GiB.
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from absl import app, flags

IMAGES = flags.DEFINE_integer("images", 100_000_000, "Rows of the synthetic index.")
SCALES = flags.DEFINE_list("scales", ["256", "512", "1024"], "Scales of the buckets.")
BATCH_SIZE = flags.DEFINE_integer("batch_size", 256, "Images of a global batch.")
LIMIT = flags.DEFINE_integer("limit_mib", 2048, "Private memory that planning may use.")
INDEX = flags.DEFINE_string("index", "", "Set by the benchmark itself: the file to plan for.")
CHUNK = 2**20


def write_sizes(path: str, rows: int) -> None:
    """Heights then widths, uint32 `[2, rows]`: log-normal sides, long sides around 700 pixels."""
    sizes = np.memmap(path, np.uint32, "w+", shape=(2, rows))
    rng = np.random.default_rng(0)
    for start in range(0, rows, CHUNK):
        count = min(CHUNK, rows - start)
        area, aspect = rng.normal(6.3, 0.6, count), rng.normal(0, 0.4, count)
        sizes[0, start : start + count] = np.maximum(np.exp(area - aspect / 2), 1)
        sizes[1, start : start + count] = np.maximum(np.exp(area + aspect / 2), 1)
    sizes.flush()


def measure(path: str, rows: int) -> dict[str, float]:
    """Seconds of each part; memory in MiB."""
    from ugf_jax.data.buckets import BucketSettings, make_buckets
    from ugf_jax.data.plan import Plan
    from ugf_jax.data.ranks import Ranks

    settings = BucketSettings(scales=tuple(map(int, SCALES.value)))
    buckets = make_buckets(settings)
    sizes = np.memmap(path, np.uint32, "r", shape=(2, rows))
    begin, cpu = time.perf_counter(), time.process_time()
    ranks = Ranks([(sizes[0], sizes[1])], buckets, settings)
    plan = Plan([ranks], ranks.counts[None], [BATCH_SIZE.value] * len(buckets), seed=0)
    took = {"buckets": len(buckets), "batches an epoch": plan.batches_per_epoch}
    took |= {"plan s": time.perf_counter() - begin, "plan CPU s": time.process_time() - cpu}
    for name, step in [("first", 0), ("middle", plan.batches_per_epoch // 2), ("epoch 1000", 1000 * plan.batches_per_epoch)]:
        begin = time.perf_counter()
        batch = plan.batch(step)
        took[f"{name} batch ms"] = (time.perf_counter() - begin) * 1e3
        assert len(set(batch.rows.tolist())) == BATCH_SIZE.value
    begin = time.perf_counter()
    for step in range(100):
        plan.batch(step, 0, 16)
    took["a host's 16 of it ms"] = (time.perf_counter() - begin) * 10
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines() if ":" in line)
    took["peak RSS MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    took["of it private MiB"] = int(status["RssAnon"].split()[0]) / 1024
    took["table MiB"] = ranks.before.nbytes / 2**20
    return took


def main(argv: list[str]) -> None:
    """Makes the index, then measures in a limited process."""
    if INDEX.value:
        print(json.dumps(measure(INDEX.value, IMAGES.value)))
        return
    with tempfile.NamedTemporaryFile(prefix="ugf-sizes-") as file:
        write_sizes(file.name, IMAGES.value)
        limit = LIMIT.value * 2**20
        done = subprocess.run(
            [sys.executable, argv[0], f"--index={file.name}", *sys.argv[1:]],
            check=True,
            capture_output=True,
            text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
        )
    print(f"{IMAGES.value:,} images, numpy {np.__version__}, Python {sys.version.split()[0]}")
    for name, value in json.loads(done.stdout).items():
        print(f"{name:24} {value:14,.1f}")


if __name__ == "__main__":
    app.run(main)
