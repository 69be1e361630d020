"""What feedback gains: PPO, GRPO and DPO over several seeds, PPO with a learned reward, and a reward that says nothing.

  python benchmarks/feedback.py MODEL FOLDER [--seeds=3] [--steps=20] [--prompts=100]

MODEL is an under-trained model of scenes of `shapes`, made by `ugf export`. FOLDER receives the preferences of a program that
errs (`ugf rate`; few for the reward model, more for DPO), the reward model, the runs, the models made of them, their
evaluations, `table.md` and `curves.svg`. The commands are those that a user types, and each is left out where its results are
there already, so that the same command goes on where it was stopped. Held-out prompts, the same seeds before and after; see
`ugf evaluate --help`, task policy.
"""

import concurrent.futures
import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import app, flags
from measure import machine

from ugf_jax.evaluation.figures import Line, plot_lines
from ugf_jax.evaluation.history import read_history

SEEDS = flags.DEFINE_integer("seeds", 3, "Runs of each kind.", lower_bound=1)
STEPS = flags.DEFINE_integer("steps", 20, "Of PPO and GRPO.", lower_bound=1)
DPO_STEPS = flags.DEFINE_integer("dpo_steps", 460, "Of DPO: every preference once.", lower_bound=1)
PROMPTS = flags.DEFINE_integer("prompts", 100, "Held-out prompts, four pictures of each.", lower_bound=2)
RATED = flags.DEFINE_integer("rated", 250, "Prompts rated for the reward model, eight pairs of each.", lower_bound=10)
COMPARED = flags.DEFINE_integer("compared", 1000, "Prompts rated for DPO, eight pairs of each.", lower_bound=10)
ERRORS = flags.DEFINE_float("error_rate", 0.2, "Share of preferences that name the loser.", 0.0, 1.0)
JOBS = flags.DEFINE_integer("jobs", 2, "Commands at a time.", lower_bound=1)
EXPERIMENTS = pathlib.Path(__file__).parent.parent / "experiments"
COLORS = {"ppo": "#2f7fd6", "grpo": "#d97706", "dpo": "#a35bb5", "learned": "#149c76"}
NAMES = {"ppo": "PPO, checker", "grpo": "GRPO, checker", "dpo": "DPO, preferences", "learned": "PPO, learned reward"}


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of stage `rlhf`: which kind, which seed, and where everything of it is."""

    kind: str
    seed: int
    folder: pathlib.Path

    @property
    def results(self) -> pathlib.Path:
        """What its evaluation found."""
        return self.folder / "evaluation" / "results.json"


def ugf(*arguments: Any, expect: Sequence[int] = (0,)) -> str:
    """Runs a verb, shows its last line, and returns what it printed; ends with its code where that was not expected."""
    verb, *rest = map(str, arguments)
    done = subprocess.run([sys.executable, "-m", f"ugf_jax.cli.{verb}", *rest], capture_output=True, text=True)
    said = (done.stdout + done.stderr).strip()
    print(f"ugf {verb} … {said.splitlines()[-1] if said else ''}", flush=True)
    if done.returncode not in expect:
        raise SystemExit(done.returncode)
    return said


def rate(model: str, prompts: int, rated: pathlib.Path) -> pathlib.Path:
    """Preferences between pictures of the model, without details, as the runs judge."""
    if not rated.exists():
        how = ("--samples=8", "--pairs=8", f"--error_rate={ERRORS.value}", "--nodetails")
        ugf("rate", f"--model={model}", f"--prompts=shapes:train:{prompts}", *how, f"--output={rated}")
    return rated


def learn_reward(rated: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A reward model from the preferences, on the model that ships, evaluated on those of other prompts."""
    run = folder / "reward"
    config = f"--config={EXPERIMENTS / 'small_reward.py'}:{rated}"
    if not (run / "results.json").exists():
        ugf("train", config, f"--workdir={run}", "--config.data.auxiliary=0")
    if not (run / "evaluation" / "results.json").exists():
        ugf("evaluate", f"--workdir={run}", "--tasks=reward", f"--data={rated / 'test'}")
    return run


def improve(run: Run, model: str, compared: pathlib.Path, reward: pathlib.Path) -> dict[str, float]:
    """Trains, exports and evaluates; returns right before and after, and diversity before and after."""
    if not run.results.exists():
        given = f"{model},{reward}" if run.kind == "learned" else model
        training = ["train", f"--config={EXPERIMENTS / 'small_rlhf.py'}:{given}", f"--workdir={run.folder}"]
        training += [f"--config.seed={run.seed}", f"--config.prompts.seed={run.seed}", f"--config.data.seed={run.seed}"]
        training += ["--config.evaluation.limit=16"]  # held-out prompts are drawn afterwards
        if run.kind == "dpo":
            training += ["--config.algorithm=dpo", f"--config.dpo.smoothing={ERRORS.value}"]
            training += [f"--config.data.datasets=('{compared}/train',)", f"--config.evaluation.dataset={compared}/validation"]
            often = ("--config.evaluation.every=100", "--config.checkpoint.every=100", "--config.log_every=10")
            training += [f"--config.steps={DPO_STEPS.value}", *often]
        else:
            training += [f"--config.algorithm={'grpo' if run.kind == 'grpo' else 'ppo'}", f"--config.steps={STEPS.value}"]
        ugf(*training)
        improved = run.folder / "model"
        ugf("export", run.folder, improved)
        both = (f"--feedback={run.folder}", f"--improved={improved}", f"--limit={PROMPTS.value}")
        ugf("evaluate", "--tasks=policy", *both, f"--output={run.results.parent}")
    found = json.loads(run.results.read_text())["policy"]
    sides = {"before": found["before"], "after": found["after"]}
    return {f"{name} {side}": values[name]["value"] for side, values in sides.items() for name in ("correct", "diversity")}


def spoil(model: str, folder: pathlib.Path) -> str:
    """A run that is rewarded for brightness alone, which its limits must end; what it said at its end."""
    run, kept = folder / "brightness", folder / "brightness.txt"
    if not kept.exists():
        config = f"--config={EXPERIMENTS / 'small_rlhf.py'}:{model}"
        rewards = ("--config.rewards.checker.weight=0.0", "--config.rewards.brightness.weight=1.0")
        free = ("--config.divergence.coefficient=0.0", "--config.steps=200", "--config.checkpoint.every=1")
        free += ("--config.optimizer.schedule=constant", "--config.prompts.count=4", "--config.evaluation.every=200")
        said = ugf("train", config, f"--workdir={run}", *rewards, *free, expect=(2,))
        ugf("export", run, folder / "brightness_model")  # the last good state is there
        kept.write_text(said.splitlines()[-1])
    return kept.read_text()


def table(found: dict[str, list[dict[str, float]]]) -> str:
    """A row for each kind: means over seeds, and the gain of each."""
    lines = ["| | right before | right after | gain, points | of each seed | diversity kept |", "|---|---|---|---|---|---|"]
    for kind, runs in found.items():
        before, after = (100 * np.array([run[f"correct {side}"] for run in runs]) for side in ("before", "after"))
        kept = np.mean([run["diversity after"] / run["diversity before"] for run in runs])
        gains = ", ".join(f"{gain:+.1f}" for gain in after - before)
        row = f"{before.mean():.1f} % | {after.mean():.1f} % | {np.mean(after - before):+.1f} | {gains} | {100 * kept:.0f} %"
        lines.append(f"| {NAMES[kind]} | {row} |")
    return "\n".join(lines)


def curves(runs: Sequence[Run]) -> str:
    """The share of held-out pictures that is right, against steps: a line for each run that draws."""
    lines = []
    for run in runs:
        history = read_history(run.folder / "metrics.jsonl")
        if ("train", "held_out/right") in history:
            steps, values = history["train", "held_out/right"]
            width = min(5, len(values))
            smooth = np.convolve(values, np.ones(width) / width, "valid")
            label = NAMES[run.kind] if run.seed == 0 else "_nolegend_"
            lines.append(Line(label, steps[width - 1 :], 100 * smooth, COLORS[run.kind]))
    return plot_lines(lines, "step", "pictures that are right, %")


def main(argv: list[str]) -> None:
    """Does whatever is not done yet and prints the table."""
    if len(argv) != 3:
        raise app.UsageError("want MODEL and FOLDER")
    model, folder = argv[1], pathlib.Path(argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    reward = learn_reward(rate(model, RATED.value, folder / "rated"), folder)
    compared = rate(model, COMPARED.value, folder / "compared")
    runs = [Run(kind, seed, folder / f"{kind}{seed}") for kind in NAMES for seed in range(SEEDS.value)]
    with concurrent.futures.ThreadPoolExecutor(JOBS.value) as pool:
        measured = list(pool.map(lambda run: improve(run, model, compared, reward), runs))
    said = spoil(model, folder)
    found: dict[str, list[dict[str, float]]] = {}
    for run, values in zip(runs, measured, strict=True):
        found.setdefault(run.kind, []).append(values)
    (folder / "table.md").write_text(table(found) + "\n")
    (folder / "curves.svg").write_text(curves(runs))
    print(machine())
    print(table(found))
    print(f"rewarded for brightness: {said}")


if __name__ == "__main__":
    app.run(main)
