"""Settings of the Llama family from `config.json` and back; what cannot be computed here is refused by name."""

import dataclasses
import json
import pathlib

import pytest

from ugf_jax.errors import InputError
from ugf_jax.interop.trunk import NAMES, trunk_config, trunk_mapping, trunk_settings

FOLDER = pathlib.Path(__file__).parent.parent / "fixtures" / "interop"
CONFIGS = [f"{kind}-{n}" for kind in NAMES for n in range(3)]
SMALL = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 30,
}


@pytest.mark.parametrize("name", CONFIGS)
def test_settings_go_there_and_back(name):
    values = json.loads((FOLDER / name / "config.json").read_text())
    settings = trunk_settings(values, name, tied=False)
    made = trunk_config(settings, values["vocab_size"], name)
    assert made["model_type"] == values["model_type"]
    again = trunk_settings(made, name, tied=False)
    assert (again.block, again.depth, again.tied, again.rope_base, again.rope_scaling) == (
        settings.block,
        settings.depth,
        settings.tied,
        settings.rope_base,
        settings.rope_scaling,
    )


def test_both_ways_to_write_rotary_positions_are_read():
    numbers = {"factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 100}
    old = SMALL | {"rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3"} | numbers}
    older = SMALL | {"rope_theta": 5e5, "rope_scaling": {"type": "llama3"} | numbers}
    new = SMALL | {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5} | numbers}
    found = {trunk_settings(values, "x", tied=False) for values in (old, older, new)}
    assert len(found) == 1
    (settings,) = found
    assert (settings.rope_base, settings.rope_scaling.factor, settings.rope_scaling.original) == (5e5, 4.0, 100)


def test_a_table_is_shared_as_the_file_says_or_else_as_the_tensors_do():
    for tied in (True, False):
        assert trunk_settings(SMALL, "x", tied).tied is tied
        assert trunk_settings(SMALL | {"tie_word_embeddings": not tied}, "x", tied).tied is not tied
        assert ("head" in trunk_mapping(trunk_settings(SMALL, "x", tied), 30, 30)) is not tied


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "hidden_size is None; want a whole number"),
        ({"vocab_size": "many"}, "vocab_size is 'many'"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu'; want 'silu'"),
        ({"use_sliding_window": True}, "use_sliding_window is set"),
        ({"model_type": "chameleon", "swin_norm": True}, "swin_norm is set"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is set"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "layer_types has others"),
        ({"model_type": "chameleon", "rms_norm_eps": 1e-6}, "rms_norm_eps is 1e-06"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, "rope_type is 'yarn'; want one of default, linear, llama3"),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 4.0}}, "low_freq_factor is missing"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor is set"),
        ({"num_key_value_heads": 3}, "heads is 4; want a multiple of"),
        ({"num_attention_heads": 5}, "width is 16; want a multiple"),
    ],
)
def test_what_cannot_be_computed_is_named(change, message):
    with pytest.raises(InputError, match=message) as caught:
        trunk_settings(SMALL | change, "folder/config.json", tied=False)
    assert str(caught.value).startswith("folder/config.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cell_places": True}, "cell_places"),
        ({"query_bias": True, "output_bias": False, "mlp_bias": True}, "biases|mlp_bias"),
        ({"qk_norm": "rms", "mlp_bias": True}, "mlp_bias"),
        ({"qk_norm": "layer", "head_features": 6}, "head_features is 6"),
    ],
)
def test_what_no_model_of_transformers_computes_is_named(change, message):
    settings = dataclasses.replace(trunk_settings(SMALL, "x", tied=False), **change)
    with pytest.raises(InputError, match=message):
        trunk_config(settings, 30, "model")
