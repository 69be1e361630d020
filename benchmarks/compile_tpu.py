"""Compiles a config's training step for a TPU slice that is not there, and says whether it fits.

  pip install ".[plan]"
  python benchmarks/compile_tpu.py --config=experiments/ugf_1b.py --topology=v5e:16x16

The step, the shardings and the kernels are those of a run on that slice; the figures are the compiler's. It takes minutes.
"""

import functools
import os
import time

os.environ |= {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-16",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}

import jax
from absl import app, flags, logging
from jax.experimental import topologies
from measure import machine
from ml_collections import config_flags
from synthetic import batch_specs

from ugf_jax import config
from ugf_jax.training import sharding, stages, trainer
from ugf_jax.training.flops import forward_flops
from ugf_jax.training.optimizer import make_optimizer
from ugf_jax.training.state import init_state, make_step

CONFIG = config_flags.DEFINE_config_file("config", None, "Config file of a training run.")
TOPOLOGY = flags.DEFINE_string("topology", "v5e:16x16", "Slice to compile for.")
MEMORY = {"v4": 32e9, "v5e": 16e9, "v5p": 95e9, "v6e": 32e9, "tpu7x": 96e9}  # bytes a chip


def main(_: list[str]) -> None:
    """Compiles and prints."""
    logging.set_verbosity(logging.WARNING)
    stage_type = stages.find(CONFIG.value.stage)
    settings = config.parse(stage_type.settings, CONFIG.value)
    stage = stage_type.build(settings)
    devices = topologies.get_topology_desc(TOPOLOGY.value, "tpu").devices
    mesh = sharding.make_mesh(settings.mesh, devices)
    optimizer = make_optimizer(settings.optimizer, settings.steps)
    where = sharding.batch_sharding(mesh)
    batch = {n: jax.ShapeDtypeStruct(s, t, sharding=where) for n, (s, t) in batch_specs(settings).items()}
    init = functools.partial(init_state, stage, optimizer, settings.optimizer.ema_decay > 0)
    begin = time.monotonic()
    with jax.set_mesh(mesh):
        abstract = trainer.abstract_state(init, batch, stage, settings, mesh)
        step = make_step(stage, optimizer, settings.optimizer.accumulate, settings.optimizer.ema_decay)
        out = jax.tree.map(lambda x: x.sharding, abstract), sharding.replicated(mesh)
        compiled = jax.jit(step, donate_argnums=0, out_shardings=out).lower(abstract, batch).compile()
        flops = 3 * forward_flops(stage.loss, *trainer.loss_arguments(abstract, batch))
    report(settings, abstract, compiled, mesh, flops, time.monotonic() - begin)


def report(settings, abstract, compiled, mesh, flops, seconds) -> None:
    """Prints what the compiler says of one chip."""
    parameters = sum(x.size for x in jax.tree.leaves(abstract.params))
    found = compiled.memory_analysis()
    state, temporaries = found.argument_size_in_bytes, found.temp_size_in_bytes
    more = found.output_size_in_bytes - found.alias_size_in_bytes
    kind = TOPOLOGY.value.split(":")[0]
    room = MEMORY[kind]
    total = state + temporaries + more
    print(machine("libtpu"))
    print(f"{TOPOLOGY.value}: {mesh.devices.size} chips {dict(mesh.shape)}, compiled in {seconds:.0f} s")
    print(
        f"{parameters / 1e9:.2f} billion parameters, {flops / 1e15:.2f} PFLOP a step (attention dense, without recomputation)"
    )
    print(
        f"a chip: state and batch {state / 1e9:.2f} GB, temporaries {temporaries / 1e9:.2f} GB, results {more / 1e9:.2f} GB; "
        f"{total / 1e9:.2f} of {room / 1e9:.0f} GB: {'fits' if total < room else 'does not fit'}"
    )
    text = compiled.as_text()
    counts = {name: text.count(f"{name}(") + text.count(f"{name}-start(") for name in ("all-gather", "all-reduce")}
    counts["reduce-scatter"] = text.count("%all-reduce-scatter") + text.count(" reduce-scatter(")
    counts["kernels"] = text.count('custom_call_target="tpu_custom_call"')
    print("in the program: " + ", ".join(f"{name} {count}" for name, count in counts.items()))


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main)
