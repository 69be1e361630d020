import pytest
from absl import flags
from ml_collections import config_flags

from ugf_jax.cli.config_flag import load_config
from ugf_jax.errors import InputError


@pytest.fixture
def values():
    own = flags.FlagValues()
    for name in ("config", "from"):
        config_flags.DEFINE_config_file(name, None, "", flag_values=own)
    return own


def test_a_config_is_loaded_and_none_is_none(values):
    values(["ugf", "--config=experiments/demo.py"])
    assert load_config(values).stage == "tokenizer"
    assert load_config(values, "from") is None


@pytest.mark.parametrize("argv", [["--from=nowhere.py"], ["--from", "nowhere.py"], ["--from=no/where.py:phase"]])
def test_a_file_that_is_not_there_is_named_with_its_flag(values, argv):
    values(["ugf", *argv])
    with pytest.raises(InputError, match=r"^--from: \S*where.py: no such file; want a Python file with get_config\(\)$"):
        load_config(values, "from")
