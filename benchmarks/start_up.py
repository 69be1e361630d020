"""How much sooner a second start of a run takes its first step: it reads the programs that the first has compiled.

  make demo    # or any other data
  python benchmarks/start_up.py -- --config=experiments/demo.py

What follows `--` goes to `ugf train`, with a work folder that is thrown away afterwards. Each start is a process of its own:
the first begins with nothing and takes one step, the others resume from what it has left and take one more; the least of them
counts.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import rich.console
import rich.table
from absl import app, flags, logging
from measure import machine

AGAIN = flags.DEFINE_integer("again", 2, "Starts after the first; the quickest is shown.", lower_bound=1)


def start(workdir: str, steps: int, train_flags: list[str]) -> dict[str, float]:
    """Trains up to a step and returns what the start took, by part (`ugf_jax.training.start_up`)."""
    # A schedule that depends on the number of steps would make each start another program.
    flags_of_this = [f"--workdir={workdir}", f"--config.steps={steps}", "--config.optimizer.schedule=constant"]
    command = [sys.executable, "-m", "ugf_jax.cli.train", *train_flags, *flags_of_this]
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    lines = [json.loads(line) for line in (pathlib.Path(workdir) / "runs.jsonl").read_text().splitlines()]
    return [line["start_up"] for line in lines if "start_up" in line][-1]


def main(argv: list[str]) -> None:
    """Prints what it runs on and the table."""
    logging.set_verbosity(logging.WARNING)
    if not argv[1:]:
        raise app.UsageError("give the flags of ugf train after --, e.g. -- --config=experiments/demo.py")
    with tempfile.TemporaryDirectory(prefix="ugf-start-") as workdir:
        first = start(workdir, 1, argv[1:])
        later = [start(workdir, step, argv[1:]) for step in range(2, AGAIN.value + 2)]
    second = min(later, key=lambda parts: sum(parts.values()))
    print(machine())
    table = rich.table.Table(title="Seconds up to the end of the first step", title_justify="left")
    for name in ("part", "first start", "second start", "ratio"):
        table.add_column(name, justify="left" if name == "part" else "right")
    for name, before, after in [(name, first[name], second.get(name, 0.0)) for name in first] + [
        ("all", sum(first.values()), sum(second.values()))
    ]:
        table.add_row(name, f"{before:.1f}", f"{after:.1f}", f"{before / after:.1f}" if after else "")
    rich.console.Console(width=90).print(table)


if __name__ == "__main__":
    app.run(main)
