"""A plan in words and tables, for people."""

from collections.abc import Sequence
from typing import Any

from ugf_jax.planning.plan import Plan

Table = tuple[str, list[str], list[list[str]]]  # title, header, rows
GIB = 2**30


def headline(plan: Plan) -> str:
    """What is planned, and whether it fits."""
    mesh = " x ".join(f"{name} {size}" for name, size in plan["mesh"].items())
    fits = "fits" if plan["fits"] else "DOES NOT FIT"
    return (
        f"{plan['stage']}, {plan['parameters'] / 1e9:.2f} billion parameters, on {plan['topology']}: "
        f"{plan['devices']} devices as {mesh}: {fits}"
    )


def tables(plan: Plan) -> list[Table]:
    """Memory, traffic and time of each program, and what a run costs."""
    found: list[Table] = []
    for program in plan["programs"]:
        found.append(_memory(program))
        if program.get("collectives"):
            found.append(_traffic(program))
        if "timing" in program:
            found.append(_time(program))
        if program.get("weak_scaling"):
            found.append(_scaling(program, plan))
    if "step_seconds" in plan:
        found.append(_run(plan))
    return found


def _memory(program: Plan) -> Table:
    memory = program["memory"]
    room, total = memory["room"], memory["total"]
    kinds = [(name, size) for name, size in memory.items() if name not in ("room", "total") and size >= 0.0005 * GIB]
    rows = [[name, f"{size / GIB:.3f}"] for name, size in kinds]
    rows.append(["all", f"{total / GIB:.3f}"])
    rows.append(["of", f"{room / GIB:.1f} ({total / room:.0%})"])
    return f"{program['name']}: GiB of one device", ["kind", "GiB"], rows


def _traffic(program: Plan) -> Table:
    rows = [
        [row["network"], " x ".join(row["axes"]), row["kind"], str(row["operations"]), _mega(row["bytes"]), _mega(row["sent"])]
        for row in program["collectives"]
        if row["bytes"] >= 1e5
    ]
    return f"{program['name']}: what one device sends", ["network", "axis", "collective", "operations", "MB", "MB sent"], rows


def _time(program: Plan) -> Table:
    timing = program["timing"]
    names = {
        "products": "products of matrices",
        "others": "other operations",
        "attention": "attention kernels",
        "waiting": "waiting for the network",
    }
    rows = [
        [words, _milli(timing[name]), f"{timing[name] / timing['total']:.0%}"]
        for name, words in names.items()
        if name in timing
    ]
    rows.append(["all", _milli(timing["total"]), "100%"])
    rows.append(["(network hidden behind arithmetic)", _milli(timing["hidden"]), ""])
    return f"{program['name']}: time of one run", ["part", "ms", "share"], rows


def _scaling(program: Plan, plan: Plan) -> Table:
    rows = [
        [size, _milli(seconds), f"{plan['mfu'] * plan['step_seconds'] / seconds:.3f}"]
        for size, seconds in program["weak_scaling"].items()
    ]
    return f"{program['name']}: more devices at the same rows a device", ["devices", "ms", "MFU"], rows


def _run(plan: Plan) -> Table:
    rows = [["step", f"{plan['step_seconds'] * 1e3:.1f} ms"]]
    if plan["step_flops"]:
        rows.append(["utilisation (MFU)", f"{plan['mfu']:.3f}"])
    if plan["tokens_per_step"]:
        rows.append(["tokens/s", f"{plan['tokens_per_second']:,.0f}"])
    if plan["images_per_step"]:
        rows.append(["images/s", f"{plan['images_per_second']:,.0f}"])
    rows.append([f"{plan['steps']:,} steps", f"{plan['days']:.2f} days, {plan['chip_hours']:,.0f} chip-hours"])
    rate = plan["host_bytes_per_second"]
    rows.append([f"each of {plan['hosts']} hosts must deliver", f"{rate / 1e6:.2f} MB/s{_cores(plan)}"])
    return "a run", ["", ""], rows


def _cores(plan: Plan) -> str:
    measured = plan.get("loader")
    if not measured:
        return ""
    return f"; measured {measured['rate']:,.0f} {measured['unit']}/s a core, so {measured['cores']:.2f} cores busy"


def comparison(plans: Sequence[tuple[dict[str, Any], Plan]]) -> Table:
    """A row for each plan of a sweep, the best first."""
    keys = list(plans[0][0]) if plans else []
    rows = []
    for chosen, plan in plans:
        filled = max(p["memory"]["total"] / p["memory"]["room"] for p in plan["programs"])
        rate = plan.get("tokens_per_second") or plan.get("images_per_second") or 0.0
        time = f"{plan['step_seconds'] * 1e3:.1f}" if "step_seconds" in plan else "-"
        mfu = f"{plan['mfu']:.3f}" if plan.get("mfu") else "-"
        verdict = "fits" if plan["fits"] else "no"
        rows.append([*(str(chosen[key]) for key in keys), verdict, f"{filled:.0%}", time, mfu, f"{rate:,.0f}"])
    return "the best first", [*keys, "fits", "memory", "ms", "MFU", "a second"], rows


def _mega(size: float) -> str:
    return f"{size / 1e6:,.1f}"


def _milli(seconds: float) -> str:
    return f"{seconds * 1e3:,.2f}"
