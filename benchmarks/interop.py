"""Time and memory of taking over a large model: `ugf import`, `ugf export --format=hf`, and whether the bits came back.

    python benchmarks/interop.py FOLDER [--layers=32]

Makes a checkpoint of Chameleon-7B's shapes (random, bfloat16, shards of 2 GB) in FOLDER, which needs three times its size.
"""

import argparse
import json
import pathlib
import resource
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


def make(folder: pathlib.Path, layers: int) -> None:
    """Writes the checkpoint; each tensor is a random block, rolled by its number."""
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
    with TensorWriter(folder, "model", kinds, 2 * 10**9) as writer:
        for number, (name, (_, shape)) in enumerate(kinds.items()):
            writer.write(name, [np.resize(np.roll(block, number), shape)])


def measured(*arguments: str) -> tuple[float, float]:
    """Seconds, and the peak of resident memory of all children so far in GB."""
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", *arguments], check=True)
    return time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6 * 1.024


def same(one: pathlib.Path, other: pathlib.Path) -> bool:
    """Whether two folders hold the same tensors, bit for bit."""
    first, second = open_source(one), open_source(other)
    return set(first.names()) == set(second.names()) and all(
        np.array_equal(first.read(name).view(np.uint16), second.read(name).view(np.uint16)) for name in first.names()
    )


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=32)
    arguments = parser.parse_args()
    source, model, back = (arguments.folder / name for name in ("source", "model", "back"))
    make(source, arguments.layers)
    size = sum(path.stat().st_size for path in source.glob("*.safetensors")) / 1e9
    print("| step | GB | seconds | peak GB |\n|---|---|---|---|")
    for step, command in (
        ("import", ("ugf_jax.cli.import_weights", str(source), str(model))),
        ("export", ("ugf_jax.cli.export", str(model), str(back), "--format=hf")),
    ):
        seconds, peak = measured(*command)
        print(f"| {step} | {size:.1f} | {seconds:.0f} | {peak:.2f} |")
    print("the same bits" if same(source, back) else "OTHER BITS")


if __name__ == "__main__":
    main()
