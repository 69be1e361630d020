"""Where a run starts, and what may not differ from the run it continues."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.training import stages
from ugf_jax.training.checkpoints import Checkpointer
from ugf_jax.training.optimizer import OptimizerSettings, make_optimizer
from ugf_jax.training.settings import TrainSettings
from ugf_jax.training.start import FREE, completed, differences, find_start
from ugf_jax.training.state import init_state
from ugf_jax.training.trainer import over, start_from
from ugf_jax.training.watchdog import WatchdogSettings

DEFAULTS = TrainSettings()
DATA = {"seed": 0, "scales": [[64, 8]]}
STAGE = types.SimpleNamespace(init=lambda key, batch: ({"colour": jnp.zeros(3)}, {"seen": jnp.zeros(())}))


def make_state(value, ema=None):
    """A state whose arrays tell where they came from."""
    state = init_state(STAGE, make_optimizer(OptimizerSettings(), 10), ema is not None, jax.random.key(0), {})
    state = state.replace(params={"colour": jnp.full(3, float(value))})
    return state if ema is None else state.replace(ema={"colour": jnp.full(3, float(ema))})


def abstract(state):
    where = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), state)


def write_run(workdir, step, state, settings=DEFAULTS, data=DATA):
    with Checkpointer(workdir / "checkpoints") as checkpoints:
        checkpoints.save(step, state, {"config": config.to_json(settings), "data": data})
    return str(workdir)


def start(workdir, settings, like, data=DATA, allow=False):
    with Checkpointer(workdir / "checkpoints") as own:
        return find_start(settings, data, abstract(like), own, allow)


def test_own_checkpoint_comes_before_resume_before_init_from(tmp_path):
    other = write_run(tmp_path / "other", 7, make_state(7, ema=70))
    settings = TrainSettings(resume=other, init_from=other)  # contradictory; here only to see the order
    like = make_state(0, ema=0)

    fresh = start(tmp_path / "own", TrainSettings(), like)
    assert (fresh.step, fresh.state, fresh.params) == (0, None, None)

    fine = start(tmp_path / "own", TrainSettings(init_from=other), like)
    assert (fine.step, fine.state) == (0, None)
    np.testing.assert_array_equal(fine.params["colour"], [70] * 3)
    assert "averaged parameters" in fine.why

    resumed = start(tmp_path / "own", settings, like)
    assert (resumed.step, resumed.params) == (7, None)
    np.testing.assert_array_equal(resumed.state.params["colour"], [7] * 3)

    write_run(tmp_path / "own", 3, make_state(3, ema=30))
    own = start(tmp_path / "own", settings, like)
    assert own.step == 3
    np.testing.assert_array_equal(own.state.params["colour"], [3] * 3)


def test_what_is_excepted_is_not_asked_of_the_other_run(tmp_path):
    """Nor need it be there: a part that is new starts afresh."""
    other = write_run(tmp_path / "other", 2, make_state(5))
    like = make_state(0).replace(params={"colour": jnp.zeros(3), "new": {"kernel": jnp.zeros(2), "bias": jnp.zeros(2)}})
    found = start(tmp_path / "own", TrainSettings(init_from=other, init_except="^new/"), like)
    assert list(found.params) == ["colour"]
    np.testing.assert_array_equal(found.params["colour"], [5] * 3)
    assert start_from(like, over(like.params, found.params)).params.keys() == like.params.keys()
    with pytest.raises(InputError, match=r"new/bias is only in this config"):
        start(tmp_path / "own", TrainSettings(init_from=other, init_except="new/kernel"), like)
    with pytest.raises(InputError, match=r"config\.init_except is 'head'; no parameter has that in its path"):
        start(tmp_path / "own", TrainSettings(init_from=other, init_except="head"), like)
    with pytest.raises(InputError, match=r"config\.init_except is 'e\|o'; every parameter has that in its path"):
        start(tmp_path / "own", TrainSettings(init_from=other, init_except="e|o"), like)


def test_parameters_serve_where_the_other_run_kept_no_average(tmp_path):
    other = write_run(tmp_path / "other", 2, make_state(5))
    found = start(tmp_path / "own", TrainSettings(init_from=other), make_state(0, ema=0))
    np.testing.assert_array_equal(found.params["colour"], [5] * 3)
    assert "averaged" not in found.why


def test_codebooks_come_with_parameters_and_other_state_does_not(tmp_path):
    def state(value):
        kept = {"codebook": {"codes": jnp.full(2, float(value))}, "seen": jnp.full((), float(value))}
        return make_state(value).replace(model_state=kept)

    other = write_run(tmp_path / "other", 2, state(5))
    found = start(tmp_path / "own", TrainSettings(init_from=other), state(0))
    after = start_from(state(0), found.params, found.codebooks).model_state
    np.testing.assert_array_equal(after["codebook"]["codes"], [5, 5])
    assert after["seen"] == 0
    assert not start(tmp_path / "own", TrainSettings(init_from=other), make_state(0)).codebooks


def test_resume_checks_config_and_data_like_an_own_checkpoint_and_init_from_checks_neither(tmp_path):
    other = write_run(tmp_path / "other", 2, make_state(5))
    changed = TrainSettings(resume=other, seed=4)
    with pytest.raises(InputError, match=r"another config: seed: 0 -> 4; use another --workdir"):
        start(tmp_path / "own", changed, make_state(0))
    moved = {**DATA, "seed": 1}
    with pytest.raises(InputError, match=r"other data: seed: 0 -> 1"):
        start(tmp_path / "own", TrainSettings(resume=other), make_state(0), moved)
    assert start(tmp_path / "own", TrainSettings(resume=other), make_state(0), moved, allow=True).step == 2
    assert start(tmp_path / "own", TrainSettings(init_from=other, seed=4), make_state(0), moved).params is not None


def test_what_is_free_to_change_is_a_setting_and_does_not_stop_a_run(tmp_path):
    write_run(tmp_path / "own", 2, make_state(5))
    names = {f.name for stage in stages.NAMES for f in dataclasses.fields(stages.find(stage).settings)}
    assert set(FREE) <= names
    settings = TrainSettings(steps=5, log_every=1, max_bad_steps=2, tensorboard=True, resume="elsewhere")
    settings = dataclasses.replace(settings, heartbeat=7, watchdog=WatchdogSettings(step=5.0))
    assert start(tmp_path / "own", settings, make_state(0)).step == 2


@pytest.mark.parametrize("key", ["resume", "init_from"])
def test_a_folder_without_checkpoints_is_named(tmp_path, key):
    with pytest.raises(InputError, match=rf"config\.{key}: .*empty is not the workdir of a run"):
        start(tmp_path / "own", TrainSettings(**{key: str(tmp_path / "empty")}), make_state(0))


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": {"c": 2}}}, ["a.b.c: 1 -> 2"]),
        ({"a": (1, 2)}, {"a": [1, 2]}, []),  # JSON knows no tuples
        ({"a": [[64, 8]]}, {"a": [[64, 16]]}, ["a: [[64, 8]] -> [[64, 16]]"]),
        ({"a": ((64, 8),)}, {"a": [[64, 8]]}, []),
        ({"a": 1}, {}, ["a: 1 -> None"]),
        ({}, {"a": {"b": 1}}, ["a: None -> {'b': 1}"]),
        ({"a": 1, "b": 2}, {"b": 3, "a": 4}, ["a: 1 -> 4", "b: 2 -> 3"]),
        ({"a": {"x": 1}}, {"a": 5}, ["a: {'x': 1} -> 5"]),
    ],
)
def test_differences_name_the_leaf(old, new, found):
    assert differences(old, new) == found


def test_only_top_level_keys_are_left_out():
    old, new = {"data": {"seed": 0}, "model": {"data": 1}}, {"data": {"seed": 1}, "model": {"data": 2}}
    assert differences(old, new, skip=("data",)) == ["model.data: 1 -> 2"]


def test_a_key_that_came_later_has_its_default(tmp_path):
    with Checkpointer(tmp_path / "own" / "checkpoints") as checkpoints:
        before = {name: value for name, value in config.to_json(DEFAULTS).items() if name != "seed"}
        checkpoints.save(2, make_state(5), {"config": before, "data": DATA})
    assert start(tmp_path / "own", DEFAULTS, make_state(0)).step == 2
    with pytest.raises(InputError, match="seed: 0 -> 1"):
        start(tmp_path / "own", TrainSettings(seed=1), make_state(0))


def test_a_key_that_is_gone_is_told():
    assert completed({"seed": 3, "sead": 1}, TrainSettings) == {"seed": 3, "sead": 1}
