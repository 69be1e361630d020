import os
import shutil
import signal
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.preemption import Preemption


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_is_a_request_and_the_handlers_go_back(number, capfd):
    before = signal.getsignal(number)
    with Preemption() as preemption:
        assert not preemption.requested(1)
        os.kill(os.getpid(), number)
        assert preemption.requested(1)
        assert preemption.requested(2)
    assert signal.getsignal(number) is before
    assert capfd.readouterr().err == "asked to stop: saving after this step; once more to stop at once\n"


def test_the_second_signal_ends_the_process_with_75():
    code = """
import os, signal
from ugf_jax.training.preemption import Preemption
with Preemption():
    os.kill(os.getpid(), signal.SIGTERM)
    print("still here", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    print("not reached", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (75, "still here\n")
    assert done.stderr.endswith("stopped at once; the last checkpoint counts\n")


TWO_PROCESSES = """
import sys, time
import jax
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_cpu_collectives_implementation", "gloo")
folder, port, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
jax.distributed.initialize(f"localhost:{port}", 2, number)
import jax.numpy as jnp, numpy as np
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.preemption import Preemption
mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
sharded, copied = jax.NamedSharding(mesh, jax.P("data")), jax.NamedSharding(mesh, jax.P())
zeros = jax.jit(lambda: {"w": jnp.zeros((8, 300)), "step": jnp.int32(0), "key": jax.random.key(0)},
                out_shardings={"w": sharded, "step": copied, "key": copied})
state = zeros()
step_once = jax.jit(lambda s: s | {"w": s["w"] + jnp.arange(2400.0).reshape(8, 300), "step": s["step"] + 1}, donate_argnums=0)
checkpoints, preemption = Checkpointer(folder), Preemption()
abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)
if checkpoints.steps():
    restored = checkpoints.restore(abstract)
    assert int(restored.state["step"]) == restored.step
    print("restored", restored.step, flush=True)
    sys.exit(0)
for step in range(1, 1000):
    state = step_once(state)
    if preemption.requested(step):
        checkpoints.save(step, state, {"step": step})
        checkpoints.close()
        print("saved", step, flush=True)
        sys.exit(75)
    if step == 2:
        print("running", flush=True)
    time.sleep(0.05)
"""


def two_processes(folder, port):
    env = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    command = [sys.executable, "-c", TWO_PROCESSES, str(folder), str(port)]
    return [
        subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) for n in (0, 1)
    ]


def free_port():

    with socket.socket() as s:
        s.bind(("localhost", 0))
        return s.getsockname()[1]


def said(output):
    return [line for line in output.splitlines() if not line.startswith("[Gloo]")]


@pytest.mark.slow
def test_a_signal_to_one_of_two_processes_stops_both_at_the_same_saved_step(tmp_path):
    processes = two_processes(tmp_path, free_port())
    for process in processes:
        while (line := process.stdout.readline()) != "running\n":
            assert line.startswith("[Gloo]"), process.communicate()
    processes[1].send_signal(signal.SIGTERM)
    outputs = [p.communicate(timeout=100) for p in processes]
    assert [p.returncode for p in processes] == [75, 75], outputs
    (first,), (second,) = (said(out) for out, _ in outputs)
    assert first == second
    step = int(first.removeprefix("saved "))

    target = {"w": jnp.zeros((8, 300)), "step": jnp.int32(0), "key": jax.random.key(1)}
    with Checkpointer(tmp_path) as checkpointer:  # one process, one device, reads what two wrote
        assert checkpointer.steps() == [step]
        restored = checkpointer.restore(jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), target))
    np.testing.assert_array_equal(restored.state["w"], step * np.arange(2400.0).reshape(8, 300))
    assert int(restored.state["step"]) == step

    # Damage that only one process meets is seen by both: they agree on the step before.
    shutil.copytree(tmp_path / str(step), tmp_path / str(step + 100))
    (values,) = (tmp_path / str(step + 100) / "arrays" / "ocdbt.process_1" / "d").glob("*")
    values.write_bytes(b"")
    processes = two_processes(tmp_path, free_port())
    outputs = [p.communicate(timeout=100) for p in processes]
    assert [said(out) for out, _ in outputs] == [[f"restored {step}"]] * 2, outputs
    assert (tmp_path / f"damaged-{step + 100}").is_dir()
