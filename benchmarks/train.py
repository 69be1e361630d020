"""Tokens or images a second, use of the device and memory of any config's training step, and what its parts take.

  python benchmarks/train.py --config=experiments/small_unified.py
  python benchmarks/train.py --config=experiments/ugf_1b.py --config.data.rows=4 --config.mesh.fsdp=1    # one H100

The step is the one that `ugf train` runs, on a random batch of the config's shapes (cost does not depend on values). Parts are
differences of programs that do less: forward; with its gradient; with the optimizer; and the output head with its loss alone.
The least of `--repeats` runs counts.
"""

import functools

import jax
import numpy as np
import rich.console
import rich.table
from absl import app, flags, logging
from measure import least_seconds, machine
from ml_collections import config_flags
from synthetic import random_batch

from ugf_jax import config
from ugf_jax.objectives.language import token_losses
from ugf_jax.planning.batches import batch_specs
from ugf_jax.training import sharding, stages, trainer
from ugf_jax.training.flops import forward_flops, peak_flops
from ugf_jax.training.optimizer import make_optimizer
from ugf_jax.training.state import init_state, make_step

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file of a training run.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Timed runs; the least is shown.", lower_bound=3)


def main(_: list[str]) -> None:
    """Prints what it runs on and the table."""
    logging.set_verbosity(logging.WARNING)
    stage_type = stages.find(CONFIG.value.stage)
    settings = config.parse(stage_type.settings, CONFIG.value)
    stage = stage_type.build(settings)
    mesh = sharding.make_mesh(settings.mesh)
    optimizer = make_optimizer(settings.optimizer, settings.steps)
    specs = batch_specs(settings)
    batch = sharding.to_global(random_batch(settings, specs), mesh)
    where = sharding.batch_sharding(mesh)
    abstract_batch = {n: jax.ShapeDtypeStruct(s, t, sharding=where) for n, (s, t) in specs.items()}
    init = functools.partial(init_state, stage, optimizer, settings.optimizer.ema_decay > 0)
    with jax.set_mesh(mesh):
        abstract = trainer.abstract_state(init, abstract_batch, stage, settings, mesh)
        state = trainer.initial_state(init, abstract_batch, abstract, settings.seed)
        arguments = (state.model_state, batch, state.key, state.step)
        step = jax.jit(make_step(stage, optimizer, settings.optimizer.accumulate, settings.optimizer.ema_decay))
        compiled = step.lower(state, batch).compile()
        forward = jax.jit(lambda p: stage.loss(p, *arguments)[0])
        backward = jax.jit(lambda p: jax.value_and_grad(lambda q: stage.loss(q, *arguments)[0])(p))
        calls = [lambda: compiled(state, batch), lambda: forward(state.params), lambda: backward(state.params)]
        if settings.stage == "unified":
            calls.append(head(settings, batch))
        seconds = [clock for clock, _ in least_seconds(calls, REPEATS.value)]
        flops = 3 * forward_flops(stage.loss, *trainer.loss_arguments(abstract, abstract_batch))
    show(settings, state, batch, seconds, flops, compiled.memory_analysis().temp_size_in_bytes)


def head(settings, batch):
    """The output head, its loss and their gradient alone."""
    rows, length = batch["tokens"].shape
    width, total = settings.model.width, settings.vocabulary.total
    hidden = jax.numpy.zeros((rows, length - 1, width), jax.numpy.dtype(settings.model.dtype))
    kernel = 0.02 * jax.random.normal(jax.random.key(0), (width, total))

    def loss(hidden, kernel):
        return token_losses(hidden, kernel, batch["tokens"][:, 1:], settings.objective.logits_chunk).nll.mean()

    gradient = jax.jit(jax.grad(loss, (0, 1)))
    return lambda: gradient(hidden, kernel)


def show(settings, state, batch, seconds, flops, temporaries) -> None:
    """Prints rates, use and parts."""
    parameters = sum(x.size for x in jax.tree.leaves(state.params))
    amount, unit = (batch["tokens"].size, "tokens") if "tokens" in batch else (batch["image"].shape[0], "images")
    step, forward, backward, *rest = seconds
    print(machine())
    print(f"{parameters / 1e6:,.1f} million parameters, batch of {amount:,} {unit}; least of {REPEATS.value}")
    print(f"{step:.4g} s a step, {amount / step:,.0f} {unit}/s, {flops / step / 1e12:.3g} TFLOP/s", end="")
    peak = peak_flops(jax.devices()[0])
    print(f", MFU {flops / step / (peak * jax.device_count()):.1%}" if peak else "", end="")
    held = sum(x.nbytes for x in jax.tree.leaves(state) if hasattr(x, "nbytes")) / 1e9
    print(f"; state {held:.2f} GB, temporaries {temporaries / 1e9:.2f} GB")
    table = rich.table.Table(title="Parts", title_justify="left")
    for name in ("part", "seconds", "of the step"):
        table.add_column(name, justify="left" if name == "part" else "right")
    parts = {"forward": forward, "backward": backward - forward, "optimizer": step - backward}
    if rest:
        parts["of these: output head and its loss"] = rest[0]
    for name, value in parts.items():
        table.add_row(name, f"{value:.4g}", f"{np.clip(value / step, 0, None):.0%}")
    rich.console.Console(width=110).print(table)


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
