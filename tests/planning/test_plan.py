"""A small plan from the command to the JSON. Compiling needs libtpu (the extra `plan`); without it the command says so."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

from ugf_jax.planning.plan import run_figures
from ugf_jax.planning.topology import parse_topology

HERE = pathlib.Path(__file__).parent


def ugf_plan(*arguments):
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "JAX_PLATFORMS")}
    command = [sys.executable, "-m", "ugf_jax.cli.plan", "--cache=", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=3000, check=False)


@pytest.mark.slow
def test_two_layers_on_sixteen_chips_compile_and_fit(tmp_path):
    output = tmp_path / "plan.json"
    done = ugf_plan(f"--config={HERE / 'small_config.py'}", "--topology=v5e:4x4", f"--output={output}", "--scaling=8,16,64")
    if importlib.util.find_spec("libtpu") is None:
        assert done.returncode == 2
        assert 'pip install "ugf-jax[plan]"' in done.stderr
        assert done.stderr.count("\n") == 1
        return
    assert done.returncode == 0, done.stderr
    plan = json.loads(output.read_text())
    (step,) = plan["programs"]
    assert plan["fits"]
    assert plan["mesh"] == {"data": 2, "fsdp": 8, "tensor": 1}
    assert sum(size for kind, size in step["memory"].items() if kind not in ("total", "room")) == step["memory"]["total"]
    kinds = {(row["kind"], *row["axes"]) for row in step["collectives"]}
    assert {("all-gather", "fsdp"), ("reduce-scatter", "fsdp"), ("all-reduce", "data")} <= kinds
    assert not [text for text in plan["concerns"] if "whole gradient" in text]
    assert step["timing"]["cycles_known"] > 0.7
    assert step["timing"]["attention"] > 0
    assert step["timing"]["loops_of_unknown_length"] == 0
    assert list(step["weak_scaling"]) == ["8", "16", "64"]
    assert 0 < plan["mfu"] < 1
    assert "MFU" in done.stdout


def test_rates_and_costs_follow_from_the_time_of_a_step():
    found = run_figures(
        seconds=0.5,
        flops=0.25 * 512 * 459e12,
        tokens=1000,
        images=0,
        batch=128e6,
        steps=172_800,
        topology=parse_topology("v5p:8x8x8"),
    )
    assert found["mfu"] == pytest.approx(0.5)
    assert found["tokens_per_second"] == 2000
    assert found["days"] == 1
    assert found["chip_hours"] == 24 * 512
    assert found["host_bytes_per_second"] == 2e6
