"""Settings of a run: what may not go together, and what a value may be."""

import dataclasses

import pytest

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.training.settings import CheckpointSettings, EvaluationSettings, TrainSettings


def test_defaults_survive_the_command_line_and_json():
    settings = TrainSettings()
    assert config.parse(TrainSettings, config.config_dict(settings)) == settings
    assert config.parse(TrainSettings, config.to_json(settings)) == settings
    changed = dataclasses.replace(settings, checkpoint=CheckpointSettings(every=5, keep_every=10), seed=3, resume="runs/a")
    assert config.parse(TrainSettings, config.to_json(changed)) == changed


def test_two_starting_points_contradict_each_other():
    with pytest.raises(InputError, match=r"config\.resume and config\.init_from are both set; want one"):
        config.parse(TrainSettings, {"resume": "a", "init_from": "b"})
    for one in ({"resume": "a"}, {"init_from": "b"}):
        assert config.parse(TrainSettings, one)


def test_what_is_excepted_is_a_pattern_of_what_is_taken():
    assert config.parse(TrainSettings, {"init_from": "a", "init_except": "^memory/"})
    with pytest.raises(InputError, match=r"config\.init_except is 'x' and config\.init_from is empty; want both or neither"):
        config.parse(TrainSettings, {"init_except": "x"})
    with pytest.raises(InputError, match=r"config\.init_except: '\(' is not a regular expression"):
        config.parse(TrainSettings, {"init_from": "a", "init_except": "("})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, r"config\.steps is 0; want it greater than 0"),
        ({"seed": -1}, r"config\.seed is -1; want it at least 0"),
        ({"log_every": 0}, r"config\.log_every is 0"),
        ({"max_bad_steps": 0}, r"config\.max_bad_steps is 0"),
        ({"checkpoint": {"every": 0}}, r"config\.checkpoint\.every is 0"),
        ({"checkpoint": {"keep_every": 0}}, r"config\.checkpoint\.keep_every is 0"),
        ({"evaluation": {"samples": -1}}, r"config\.evaluation\.samples is -1"),
        ({"evaluation": {"batch_size": 0.5}}, r"config\.evaluation\.batch_size is 0\.5; want int"),
        ({"tensorboard": 1}, r"config\.tensorboard is 1; want bool"),
        ({"evaluation": {"ever": 3}}, r"config\.evaluation\.ever: unknown key; did you mean 'every'\?"),
    ],
)
def test_a_value_out_of_range_is_named(values, message):
    with pytest.raises(InputError, match=message):
        config.parse(TrainSettings, values)


def test_a_sample_grid_can_be_turned_off():
    assert config.parse(EvaluationSettings, {"samples": 0}).samples == 0
