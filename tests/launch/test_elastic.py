"""A run of two processes of four devices goes on with other numbers of both, on the same batches.

Six starts of JAX take minutes, so this is a slow test.
"""

import os
import shutil
import signal
import threading

import pytest

from ugf_jax.errors import EXIT_RETRY
from ugf_jax.json_files import JsonLines
from ugf_jax.training.run_history import read_run_history

STEPS = 24
FLAGS = (
    f"--config.steps={STEPS}",
    "--config.log_every=1",
    "--config.data.scales=((192, 8),)",
    "--config.data.max_aspect=1",  # one shape to compile
    "--config.mesh.data=2",
    "--config.mesh.fsdp=-1",
)


def losses(workdir):
    return {line["step"]: line["loss"] for line in JsonLines(workdir / "metrics.jsonl").read() if line["kind"] == "train"}


@pytest.mark.slow
def test_other_numbers_of_processes_and_devices_go_on_with_the_same_batches(demo_run, tmp_path):
    """The runs know no difference but rounding."""
    whole, half = tmp_path / "whole", tmp_path / "half"
    assert demo_run(whole, FLAGS) == 0

    def stop():
        os.kill(demo_run.process_id(1, half, STEPS // 2), signal.SIGTERM)

    hand = threading.Thread(target=stop)
    hand.start()
    assert demo_run(half, FLAGS) == EXIT_RETRY
    hand.join()
    expected = losses(whole)
    for processes, devices in ((1, 4), (4, 2)):
        elastic = tmp_path / f"elastic-{processes}"
        shutil.copytree(half, elastic)
        assert demo_run(elastic, FLAGS, processes, devices) == 0
        found = losses(elastic)
        assert found.keys() == expected.keys()
        first, second = read_run_history(elastic).attempts
        assert (first.cause, second.cause) == ("preempted", "done")
        assert STEPS // 2 <= second.first < STEPS
        for step, loss in expected.items():
            assert found[step] == pytest.approx(loss, rel=2e-3), (processes, step)
