"""Time and memory of taking over a large model: `ugf import`, `ugf export --format=hf`, and whether the bits came back.

    python benchmarks/interop.py FOLDER [--layers=32] [--hosts=0]

Makes a checkpoint of Chameleon-7B's shapes (random, bfloat16, shards of 2 GB) in FOLDER. What is no longer needed is deleted at
once, so that FOLDER never holds more than two copies of it (28 GB with all layers), and nothing at the end. With --hosts=N the
imported model is also read by N processes, as a training run on N hosts does: each its part, as float32.
"""

import argparse
import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import ml_dtypes
import numpy as np

from ugf_jax.interop.mapping import source_shapes
from ugf_jax.interop.pickled import InMemory
from ugf_jax.interop.plan import plan_import
from ugf_jax.interop.source import Source, open_source
from ugf_jax.interop.trunk import trunk_mapping, trunk_settings
from ugf_jax.tensor_writer import TensorWriter

CONFIG = {
    "architectures": ["ChameleonForConditionalGeneration"],
    "model_type": "chameleon",
    "vocab_size": 65_536,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
}
DTYPE = np.dtype(ml_dtypes.bfloat16)
TOKENIZER = {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}


def make(folder: pathlib.Path, layers: int) -> dict[str, str]:
    """Writes the checkpoint; each tensor is a random block, rolled by its number. Returns their digests."""
    config = CONFIG | {"num_hidden_layers": layers}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    # Of a source the plan reads names, shapes and types: a head that takes no memory will do.
    head = InMemory(np.broadcast_to(np.zeros((), DTYPE), (CONFIG["vocab_size"], CONFIG["hidden_size"])))
    plan = plan_import(Source(folder, config, {"lm_head.weight": head}))
    settings = trunk_settings(config, "config", tied=False)
    kinds = {}
    for target, rule in trunk_mapping(settings, config["vocab_size"], config["vocab_size"]).items():
        shapes = source_shapes(rule, plan.shapes[f"fusion/{target}"])
        kinds |= {name: (DTYPE, shape) for name, shape in zip(rule.sources, shapes, strict=True)}
    kinds = dict(sorted(kinds.items()))
    block = np.random.default_rng(0).standard_normal(2**22).astype(np.float32).astype(DTYPE)
    found = {}
    with TensorWriter(folder, "model", kinds, 2 * 10**9) as writer:
        for number, (name, (_, shape)) in enumerate(kinds.items()):
            values = np.resize(np.roll(block, number), shape)
            writer.write(name, [values])
            found[name] = digest(values)
    return found


def digest(values: np.ndarray) -> str:
    """Tells shape and bits."""
    return f"{values.shape} {hashlib.sha256(values.view(np.uint8).data).hexdigest()}"


def measured(*arguments: str) -> tuple[float, float, float]:
    """Seconds on the clock and of the processor, and the peak of resident memory in GB, of a command of its own process."""
    start = time.monotonic()
    command = [sys.executable, "-m", *arguments]
    _, status, used = os.wait4(subprocess.Popen(command, stdout=sys.stderr).pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}: ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e9


# What a training run does with `config.init_from`, up to its first step, on one host of several.
HOST = """
import pathlib, re, sys
import jax
jax.config.update("jax_num_cpu_devices", 1)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
folder, port, hosts, number = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
jax.distributed.initialize(f"localhost:{port}", hosts, number)
from ugf_jax.training import parameter_axes
from ugf_jax.training.bundle import read_params, read_settings
from ugf_jax.training.frozen import abstract_params
from ugf_jax.training.sharding import MeshSettings, make_mesh, tree_shardings
settings = MeshSettings(data=1, fsdp=hosts)
shapes = abstract_params(read_settings(folder))
where = tree_shardings(shapes, parameter_axes.FUSION, settings.rules, make_mesh(settings))
abstract = jax.tree.map(lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s), shapes, where)
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) * 1024 / 1e9
before = peak()
leaves = jax.tree.leaves(read_params(folder, "fusion", abstract))
own = sum(shard.data.nbytes for x in leaves for shard in x.addressable_shards) / 1e9
print(f"| host {number} of {hosts} | {own:.2f} | {peak() - before:.2f} |", flush=True)
"""


def start(model: pathlib.Path, hosts: int) -> None:
    """Prints what each of several processes holds of a model, and the peak of its memory while it reads that."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    print("| start from it | its part, GB | peak beyond the program's own, GB |\n|---|---|---|", flush=True)
    command = [sys.executable, "-c", HOST, str(model), str(port), str(hosts)]
    running = [subprocess.Popen([*command, str(number)]) for number in range(hosts)]
    if any([process.wait() for process in running]):  # noqa: C419  wait for all of them
        raise SystemExit("a host has failed")


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--hosts", type=int, default=0)
    arguments = parser.parse_args()
    source, model, back = (arguments.folder / name for name in ("source", "model", "back"))
    # In a process of its own: the peak of one that is started counts from that of the one that starts it.
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        tensors = pool.submit(make, source, arguments.layers).result()
    size = sum(path.stat().st_size for path in source.glob("*.safetensors")) / 1e9
    print("| step | GB | seconds | of the processor | peak GB |\n|---|---|---|---|---|", flush=True)
    for step, command, done in (
        ("import", ("ugf_jax.cli.import_weights", str(source), str(model)), source),
        ("export", ("ugf_jax.cli.export", str(model), str(back), "--format=hf"), model),
    ):
        seconds, busy, peak = measured(*command)
        print(f"| {step} | {size:.1f} | {seconds:.0f} | {busy:.0f} | {peak:.2f} |", flush=True)
        shutil.rmtree(done)
        if step == "import" and arguments.hosts:
            start(model, arguments.hosts)
    found = open_source(back)
    same = set(found.names()) == set(tensors) and all(digest(found.read(name)) == own for name, own in tensors.items())
    shutil.rmtree(back)
    print("the same bits" if same else "OTHER BITS")


if __name__ == "__main__":
    main()
