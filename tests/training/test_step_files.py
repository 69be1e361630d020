"""Damage of every kind: found, named, kept as evidence, and survived with the step before."""

import gc
import json
import pathlib
import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax.training.checkpoints import Checkpointer, read_extras, restore_params

# Orbax leaves coroutines of other arrays behind when it fails to read one.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")


@pytest.fixture(autouse=True)
def collect_them():
    yield
    gc.collect()


def make_state(step):
    rng = np.random.default_rng(step)
    return {
        "params": {
            "kernel": jnp.asarray(rng.standard_normal((40, 64)).astype(np.float32)),
            "bias": jnp.full(64, step, jnp.bfloat16),
        },
        "step": jnp.int32(step),
        "key": jax.random.key(step),
    }


ABSTRACT = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), make_state(0))


def bits(state):
    return jax.tree.map(lambda x: np.asarray(x).tobytes(), state | {"key": jax.random.key_data(state["key"])})


GOOD = {step: bits(make_state(step)) for step in (1, 2, 3)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    with Checkpointer(folder) as checkpointer:
        for step in (1, 2, 3):
            checkpointer.save(step, make_state(step), {"step": step})
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return pathlib.Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def flip(path, rng):
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def files(folder, pattern="**/*"):
    return sorted(p for p in folder.glob(pattern) if p.is_file() and p.stat().st_size)


def assert_step_before_is_used(folder, capsys, step=3):
    with Checkpointer(folder) as checkpointer:
        restored = checkpointer.restore(ABSTRACT)
        assert restored.step == restored.extras["step"] == step - 1
        assert bits(restored.state) == GOOD[step - 1]
        assert checkpointer.steps() == list(range(1, step))
        assert (folder / f"damaged-{step}").is_dir()
        warning = capsys.readouterr().err
        assert f"{step} is damaged" in warning
        checkpointer.save(step, make_state(step), {"step": step})  # the run takes the step again
        assert bits(checkpointer.restore(ABSTRACT).state) == GOOD[step]
    return warning


def test_50_flipped_bits_in_the_arrays_are_each_caught(folder, capsys):
    # Every data file of the step: Orbax leaves arrays uncompressed, so most of these bits are bits of an array.
    pristine = {p: p.read_bytes() for p in files(folder / "3" / "arrays", "**/d/*")}
    total = sum(map(len, pristine.values()))
    kernel = np.asarray(make_state(3)["params"]["kernel"]).tobytes()
    (where,) = [p for p, data in pristine.items() if kernel[:64] in data]
    rng, unnamed = random.Random(0), 0
    assert total > len(kernel)
    for _ in range(50):
        data = bytearray(pristine[where])
        data[data.index(kernel[:64]) + rng.randrange(len(kernel))] ^= 1 << rng.randrange(8)
        where.write_bytes(data)
        step, state = restore_params(folder, ABSTRACT)
        assert step == 2
        assert bits(state) == GOOD[2]
        unnamed += "digest of params/kernel does not match" not in capsys.readouterr().err
    assert unnamed == 0


@pytest.mark.parametrize("count", [30, pytest.param(400, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_is_never_silent(folder, capsys, count):
    rng = random.Random(1)
    everything = files(folder / "3")
    for _ in range(count):
        path = rng.choice(everything)
        before = path.read_bytes()
        flip(path, rng)
        step, state = restore_params(folder, ABSTRACT)
        assert bits(state) == GOOD[step], path
        assert step == 3 or "3 is damaged" in capsys.readouterr().err, path
        path.write_bytes(before)


def test_the_step_before_a_damaged_one_is_used(folder, capsys):
    where = max(files(folder / "3" / "arrays", "**/d/*"), key=lambda p: p.stat().st_size)
    data = bytearray(where.read_bytes())
    data[len(data) // 2] ^= 16
    where.write_bytes(data)
    warning = assert_step_before_is_used(folder, capsys)
    assert "digest of params/kernel does not match" in warning
    assert files(folder / "damaged-3", f"**/{where.name}")[0].read_bytes() == data  # the evidence


def test_any_one_file_may_be_missing_or_truncated(folder, capsys):
    for path in files(folder / "3"):
        before = path.read_bytes()
        for damage in (path.unlink, lambda: path.write_bytes(before[: len(before) // 2]), lambda: path.write_bytes(b"")):  # noqa: B023
            damage()
            step, state = restore_params(folder, ABSTRACT)
            assert bits(state) == GOOD[step], path
            assert step == 3 or "3 is damaged" in capsys.readouterr().err, path
            path.write_bytes(before)


@pytest.mark.parametrize("part", ["arrays", "extras", "."])
def test_a_missing_part_is_damage(folder, capsys, part):
    if part == ".":
        shutil.rmtree(folder / "3")
        (folder / "3").mkdir()
    else:
        shutil.rmtree(folder / "3" / part)
    assert_step_before_is_used(folder, capsys)


def test_edited_extras_are_damage(folder, capsys):
    path = folder / "3" / "extras" / "extras.json"
    content = json.loads(path.read_text())
    content["body"]["extras"]["step"] = 4
    path.write_text(json.dumps(content))
    assert read_extras(folder) == (2, {"step": 2})
    assert "digest of extras/extras.json does not match" in capsys.readouterr().err
    assert_step_before_is_used(folder, capsys)
