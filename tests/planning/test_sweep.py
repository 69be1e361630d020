"""What a sweep tries."""

import pytest

from ugf_jax.config import config_dict
from ugf_jax.errors import InputError
from ugf_jax.planning.sweep import choices, defaults, parse_vary, with_choice
from ugf_jax.planning.topology import parse_topology
from ugf_jax.training.stages.unified import Settings


def test_flags_name_keys_and_values():
    assert parse_vary("mesh.fsdp=16,32") == ("mesh.fsdp", [16, 32])
    assert parse_vary("config.model.attention=auto,chunked") == ("model.attention", ["auto", "chunked"])
    for text in ("mesh.fsdp", "=1", "mesh.fsdp="):
        with pytest.raises(InputError, match="want KEY=VALUE"):
            parse_vary(text)


def test_every_combination_is_tried_on_a_copy():
    values = config_dict(Settings())
    made = list(choices([("mesh.fsdp", [2, 4]), ("model.remat", [True, False])]))
    assert len(made) == 4
    chosen = with_choice(values, made[-1])
    assert (chosen.mesh.fsdp, chosen.model.remat) == (4, False)
    assert values.mesh.fsdp == 1
    with pytest.raises(InputError, match=r"no key 'mesh\.slices'"):
        with_choice(values, {"mesh.slices": 2})


def test_by_default_shards_keep_enough_rows():
    values = config_dict(Settings())
    values.model.width = 1024
    found = dict(defaults(values, parse_topology("v5e:8x8")))
    assert found["mesh.fsdp"] == [8, 16, 32]
    assert found["model.remat"] == [True, False]
    assert len(list(choices([(key, found[key]) for key in ("model.remat", "model.remat_keep")]))) == 5
    assert found["data.rows"] == [64, 128, 256]
