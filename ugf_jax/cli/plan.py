"""ugf plan: what a training step needs and gives on devices that are not there.

  ugf plan --config=experiments/ugf_1b.py --topology=v5e:16x16
  ugf plan --config=experiments/ugf_1b.py --topology=v5p:8x8x8 --config.data.rows=2048
  ugf plan --config=experiments/ugf_1b.py --topology=v5e:16x16 --slices=2 --config.data.rows=512
  ugf plan --config=experiments/ugf_1b.py --topology=v5p:8x8x8 --sweep
  ugf plan --config=experiments/ugf_1b.py --topology=v5p:8x8x8 --vary=mesh.fsdp=16,32,64 --vary=model.remat=True,False
  ugf plan --config=experiments/small_detail.py --from=experiments/small_tokenizer.py --topology=v5e:2x2
  ugf plan --config=experiments/ugf_1b.py --topology=h100:4x8

Compiles the real step of any stage for the real slice of TPU, on a machine without any, and prints: does it fit, memory of a
device by kind, what a device sends over which network and mesh axis, an estimate of the time of a step with its parts,
utilisation (MFU), rates, days and chip-hours, what each host must deliver, and what is wrong, by its cause. It takes minutes of
one core. For NVIDIA (KIND:NODESxGPUS) nothing is compiled; those figures are arithmetic on the mesh.

--sweep tries meshes, recomputation and batch sizes, --vary what it names; the best comes first. Plans are kept, so that the
same question is answered at once; --output writes one to a file. It needs the extra `plan`.
"""

import pathlib
from collections.abc import Sequence
from typing import Any, NoReturn

from absl import flags
from ml_collections import ConfigDict, config_flags

from ugf_jax.cli import app
from ugf_jax.cli.config_flag import load_config
from ugf_jax.cli.tables import print_table
from ugf_jax.errors import InputError
from ugf_jax.json_files import write_json
from ugf_jax.planning import cache, report
from ugf_jax.planning.nvidia import nvidia_plan
from ugf_jax.planning.plan import Plan, make_plan, versions
from ugf_jax.planning.sweep import choices, defaults, parse_vary, with_choice
from ugf_jax.planning.topology import Topology, check_compiler, parse_topology

FLAGS = flags.FlagValues()
config_flags.DEFINE_config_file("config", None, "Config file, e.g. experiments/ugf_1b.py.", flag_values=FLAGS)
config_flags.DEFINE_config_file("from", None, "Config of the run that it starts from, if not there yet.", flag_values=FLAGS)
flags.DEFINE_string("topology", None, "KIND:SHAPE, e.g. v5p:8x8x8 or h100:16x8 (nodes x GPUs).", flag_values=FLAGS)
flags.DEFINE_integer("slices", 1, "Slices of TPU, joined by the network of the data centre.", flag_values=FLAGS)
flags.DEFINE_bool("sweep", False, "Try meshes, recomputation and batch sizes.", flag_values=FLAGS)
flags.DEFINE_multi_string("vary", [], "KEY=VALUE,VALUE of the config to try, e.g. mesh.fsdp=16,32.", flag_values=FLAGS)
flags.DEFINE_list("scaling", [], "Numbers of devices to estimate weak scaling for, e.g. 16,512,6144.", flag_values=FLAGS)
flags.DEFINE_integer("tokens", None, "Tokens of a run, for days and chip-hours; default: config.steps.", flag_values=FLAGS)
flags.DEFINE_float("loader_rate", None, "Images (or rows) a second and core that your loader delivers.", flag_values=FLAGS)
flags.DEFINE_string("output", None, "Write the plan to this JSON file.", flag_values=FLAGS)
flags.DEFINE_string("cache", str(cache.default_folder()), "Folder of plans made before; empty: none.", flag_values=FLAGS)


def main(positional: Sequence[str], values: flags.FlagValues) -> None:
    """Makes a plan, or several, and prints."""
    if positional:
        raise InputError(f"unexpected argument '{positional[0]}'; everything is a flag (see ugf plan --help)")
    if values.config is None or not values.topology:
        raise InputError("--config=FILE and --topology=KIND:SHAPE are both needed, e.g. --topology=v5p:8x8x8")
    topology = parse_topology(values.topology, values.slices)
    settings = load_config(values)
    wanted = [parse_vary(text) for text in values.vary] or (defaults(settings, topology) if values.sweep else [])
    if not wanted:
        plan = find_plan(settings, topology, values)
        show(plan)
    else:
        plan = sweep(wanted, topology, values)
    if values.output:
        pathlib.Path(values.output).parent.mkdir(parents=True, exist_ok=True)
        write_json(values.output, plan)


def find_plan(settings: ConfigDict, topology: Topology, values: flags.FlagValues) -> Plan:
    """The plan of one config, from the cache where it is there."""
    start = load_config(values, "from")
    if not topology.chip.tpu:
        return for_run(nvidia_plan(settings, topology, start), values.tokens, values.loader_rate)
    check_compiler()
    sizes = [int(size) for size in values.scaling]
    question = {
        "config": settings.to_dict(),
        "from": None if start is None else start.to_dict(),
        "topology": str(topology),
        "scaling": sizes,
        "versions": versions(),
        "source": cache.source_digest(),
    }
    folder = pathlib.Path(values.cache) if values.cache else None
    plan = cache.cached(folder, question, lambda: make_plan(settings, topology, start, sizes))
    return for_run(plan, values.tokens, values.loader_rate)


def for_run(plan: Plan, tokens: int | None, loader_rate: float | None) -> Plan:
    """The plan with the length of the run and the rate of the loader that flags give."""
    if "step_seconds" not in plan:
        return plan
    if tokens is not None:
        if not plan["tokens_per_step"]:
            raise InputError(f"--tokens: a step of stage '{plan['stage']}' has no tokens; want --config.steps")
        more = -(-tokens // plan["tokens_per_step"]) / plan["steps"]
        plan = plan | {name: plan[name] * more for name in ("days", "chip_hours")} | {"steps": round(plan["steps"] * more)}
    if loader_rate is not None:
        unit, items = ("images", plan["images_per_step"]) if plan["images_per_step"] else ("rows", plan["rows_per_step"])
        cores = items / plan["step_seconds"] / plan["hosts"] / loader_rate
        plan = plan | {"loader": {"rate": loader_rate, "unit": unit, "cores": cores}}
    return plan


def show(plan: Plan) -> None:
    """Prints one plan."""
    print(report.headline(plan))
    for table in report.tables(plan):
        print_table(*table)
    if plan["concerns"]:
        print("\nconcerns")
        for text in plan["concerns"]:
            print(f"  - {text}")
    print(f"\n{plan['method']}")


def sweep(wanted: list[tuple[str, list[Any]]], topology: Topology, values: flags.FlagValues) -> Plan:
    """Plans every combination, prints them with the best first, and returns the best."""
    found: list[tuple[dict[str, Any], Plan]] = []
    for choice in choices(wanted):
        settings = with_choice(values.config, choice)
        try:
            plan = find_plan(settings, topology, values)
        except InputError as error:
            print(f"{choice}: {error}", flush=True)
            continue
        found.append((choice, plan))
        print(f"{choice}: {report.headline(plan)}", flush=True)
    if not found:
        raise InputError("--vary: none of the combinations is possible; see the lines above")
    found.sort(key=lambda pair: (not pair[1]["fits"], -rate(pair[1])))
    print_table(*report.comparison(found))
    return found[0][1] | {"choice": found[0][0]}


def rate(plan: Plan) -> float:
    """What a sweep makes large: tokens or images a second; utilisation does not see larger batches."""
    return float(plan.get("tokens_per_second") or plan.get("images_per_second") or 0.0)


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the verb as a program."""
    app.run("plan", __doc__, FLAGS, main, argv)


if __name__ == "__main__":
    run()
