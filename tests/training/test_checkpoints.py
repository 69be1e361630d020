import contextlib
import functools
import random
import resource
import subprocess
import sys

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ugf_jax.errors import InputError
from ugf_jax.training.checkpoints import Checkpointer, absolute, read_extras, restore_params, saved_arrays, steps


class State(flax.struct.PyTreeNode):
    step: jax.Array
    key: jax.Array
    params: dict
    opt_state: optax.OptState
    ema: dict


def make_state(seed=0, width=8):
    keys = jax.random.split(jax.random.key(seed), 3)
    params = {
        "dense": {
            "kernel": jax.random.normal(keys[0], (width, 6)),
            "bias": jax.random.normal(keys[1], (6,)).astype(jnp.bfloat16),
        },
        "empty": jnp.zeros((0, 4)),
        "codes": jnp.arange(width, dtype=jnp.int8),
        "mask": jnp.arange(width) % 3 == 0,
    }
    return State(
        step=jnp.int32(seed),
        key=jax.random.split(keys[2], 4),
        params=params,
        opt_state=optax.adam(1e-3).init({"dense": params["dense"]}),
        ema=jax.tree.map(lambda x: x + 1 if jnp.issubdtype(x.dtype, jnp.floating) else x, params),
    )


def on_mesh(state, shape, spec_of=lambda x: ()):
    mesh = jax.make_mesh(shape, ("data", "fsdp", "tensor"), axis_types=(jax.sharding.AxisType.Auto,) * 3)
    return jax.tree.map(lambda x: jax.device_put(x, jax.NamedSharding(mesh, jax.P(*spec_of(x)))), state)


def abstract(state):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), state)


def bits(x):
    x = jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
    return (str(x.dtype), x.shape, np.asarray(x).tobytes())


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    assert jax.tree.map(bits, a) == jax.tree.map(bits, b)


def test_round_trip_is_bit_identical(tmp_path):
    state = make_state(3)
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(3, state, {"config": {"a": [1, None, "x"]}})
        checkpointer.wait()
        restored = checkpointer.restore(abstract(state))
    assert (restored.step, restored.extras) == (3, {"config": {"a": [1, None, "x"]}})
    assert_same(restored.state, state)
    assert read_extras(tmp_path) == (3, restored.extras)
    assert saved_arrays(tmp_path)["params/dense/kernel"] == ("float32", (8, 6))


def test_restores_onto_another_mesh(tmp_path):
    shard = lambda x: ("fsdp", "tensor") if x.ndim == 2 and x.size else ()  # noqa: E731
    saved = on_mesh(make_state(1), (2, 2, 2), shard)
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(1, saved, {})
        for other in (on_mesh(make_state(0), (1, 8, 1), lambda x: ("fsdp",) if x.shape[:1] == (8,) else ()), make_state(0)):
            restored = checkpointer.restore(abstract(other))
            assert_same(restored.state, saved)
            assert jax.tree.map(lambda x: x.sharding, restored.state) == jax.tree.map(lambda x: x.sharding, other)


def test_saved_arrays_may_be_donated_at_once(tmp_path):
    @functools.partial(jax.jit, donate_argnums=0)
    def step(x):
        return jax.tree.map(lambda a: a + 1, x)

    state = {"w": jnp.zeros((64, 1024, 16))}
    with Checkpointer(tmp_path, keep=9) as checkpointer:
        for number in range(5):
            checkpointer.save(number, state, {})
            for _ in range(3):
                state = step(state)
        for number in range(5):
            restored = checkpointer.restore(abstract(state), number).state
            np.testing.assert_array_equal(restored["w"], 3 * number)


def test_keeps_the_newest_and_every_nth(tmp_path):
    state = {"w": jnp.ones(3)}
    with Checkpointer(tmp_path, keep=2, keep_every=4) as checkpointer:
        for number in range(1, 12):
            checkpointer.save(number, state, {})
        checkpointer.save(11, {"w": jnp.zeros(3)}, {})  # already there: not written again
        checkpointer.wait()
        assert checkpointer.steps() == steps(tmp_path) == [4, 8, 10, 11]
        np.testing.assert_array_equal(checkpointer.restore(abstract(state)).state["w"], 1)


def test_another_config_is_refused_with_the_differences(tmp_path):
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(5, make_state(5, width=8), {})
        other = make_state(5, width=16).replace(ema={"new": jnp.zeros(2)})
        with pytest.raises(InputError) as error:
            checkpointer.restore(abstract(other))
        assert checkpointer.steps() == [5]
    text = str(error.value)
    assert "params/dense/kernel is float32[8,6] in the checkpoint, float32[16,6] in this config" in text
    assert "ema/new is only in this config" in text
    assert "more" in text
    assert "\n" not in text


def test_part_of_a_state_can_be_read(tmp_path):
    state = make_state(2)
    with Checkpointer(tmp_path) as checkpointer:
        checkpointer.save(2, state, {"stage": "tokenizer"})
    only = {"ema": jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), state.ema)}
    step, restored = restore_params(tmp_path, only)
    assert step == 2
    assert_same(restored, {"ema": state.ema})
    with pytest.raises(InputError, match="ema/missing is only in this config"):
        restore_params(tmp_path, {"ema": {"missing": jax.ShapeDtypeStruct((2,), jnp.float32)}})


def test_absent_steps_are_named(tmp_path):
    with Checkpointer(tmp_path) as checkpointer:
        with pytest.raises(InputError, match="no checkpoints there"):
            checkpointer.restore({})
        checkpointer.save(7, {"w": jnp.ones(3)}, {})
        checkpointer.wait()
        with pytest.raises(InputError, match="no checkpoint of step 8; steps there: 7"):
            checkpointer.restore({}, 8)
    with pytest.raises(InputError, match="no checkpoints there"):
        read_extras(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot keep checkpoints there"):
        Checkpointer(tmp_path / "file" / "checkpoints")


@contextlib.contextmanager
def full_disk(limit=100_000):
    """No file may grow beyond `limit` bytes, as on a disk with no more room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("report", ["wait", "save", "close"])
def test_a_full_disk_is_named_and_leaves_earlier_steps_whole(tmp_path, report):
    small, big = {"w": jnp.ones(100)}, {"w": jnp.ones((300, 1000))}
    checkpointer = Checkpointer(tmp_path)
    checkpointer.save(1, small, {})
    checkpointer.wait()
    with full_disk():
        checkpointer.save(2, big, {})
        calls = {"wait": checkpointer.wait, "save": lambda: checkpointer.save(3, small, {}), "close": checkpointer.close}
        with pytest.raises(
            InputError, match=r"checkpoint 2 could not be written \(File too large; .* MB free\); intact steps: 1;"
        ):
            calls[report]()
    checkpointer.save(4, small, {})  # there is room again
    checkpointer.wait()
    assert checkpointer.steps() == [1, 4]
    assert checkpointer.restore(abstract(small), 1).step == 1
    checkpointer.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "4"]


SAVE_AND_DIE = """
import os, signal, sys, time
import jax.numpy as jnp
from ugf_jax.training.checkpoints import Checkpointer

def save_for_ever(folder, said):
    checkpointer = Checkpointer(folder, keep=3)
    step = max(checkpointer.steps(), default=0)
    while True:
        step += 1
        checkpointer.save(step, {"w": jnp.full((256, 1024), step, jnp.float32), "step": jnp.int32(step)}, {"step": step})
        os.write(said, f"{step} ".encode())  # save() returned: the step before is durable

# JAX is imported once and starts its threads only in the children.
for moment in sys.stdin:
    hear, say = os.pipe()
    child = os.fork()
    if not child:
        save_for_ever(sys.argv[1], say)
    os.close(say)
    heard = os.read(hear, 9)
    time.sleep(float(moment))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print((heard + os.read(hear, 10**6)).split()[-1].decode(), flush=True)
"""


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_kill_9_while_saving_loses_at_most_one_save(tmp_path, kills):
    target = {"w": jax.ShapeDtypeStruct((256, 1024), jnp.float32), "step": jax.ShapeDtypeStruct((), jnp.int32)}
    rng = random.Random(kills)
    command = [sys.executable, "-W", "ignore", "-c", SAVE_AND_DIE, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as trainer:
        for _ in range(kills):
            trainer.stdin.write(f"{rng.uniform(0, 0.4)}\n")
            trainer.stdin.flush()
            last = int(trainer.stdout.readline())
            with Checkpointer(tmp_path) as checkpointer:
                present = checkpointer.steps()
                assert last - 1 <= max(present, default=0) <= last + 1
                for step in present:
                    restored = checkpointer.restore(target, step)
                    assert restored.extras == {"step": step} == {"step": int(restored.state["step"])}
                    np.testing.assert_array_equal(restored.state["w"], step)
            assert [p.name for p in tmp_path.iterdir() if not p.name.isdigit()] == []  # no temporary folders either


def test_a_path_in_an_object_store_stays_there(tmp_path, monkeypatch):
    """Orbax itself reads and writes `gs://`; a path that lost its second slash would be a folder of this machine."""
    monkeypatch.chdir(tmp_path)
    assert str(absolute("gs://ours/run/checkpoints")) == "gs://ours/run/checkpoints"
    assert str(absolute("run/checkpoints")) == str(tmp_path / "run" / "checkpoints")
