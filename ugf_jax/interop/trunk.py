"""The Llama family in the layout of Hugging Face: Llama 2 and 3, Qwen 2.5, Qwen 3, and the trunk of Chameleon.

All are one block here, with settings. What tells them apart:

    llama       no norm of queries and keys; biases, if any, of all four projections of attention
    qwen2       biases of query, key and value
    qwen3       RMSNorm of queries and keys, one scale for all heads
    chameleon   LayerNorm of queries and keys, a scale and a bias for each head
"""

from collections.abc import Mapping as AnyMapping
from typing import Any

from ugf_jax import config
from ugf_jax.errors import InputError
from ugf_jax.interop.mapping import SAME, TRANSPOSED, Change, Mapping, Rule, more_rows, then
from ugf_jax.models.fusion import FusionSettings

NAMES = {"llama": "Llama", "qwen2": "Qwen 2.5", "qwen3": "Qwen 3", "chameleon": "Chameleon"}
ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "chameleon": "ChameleonForConditionalGeneration",
}
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
IGNORED = {r".*\.rotary_emb\.inv_freq": "computed from the settings"}
_NORM = {"llama": "none", "qwen2": "none", "qwen3": "rms", "chameleon": "layer"}
_EPSILON = {"llama": 1e-6, "qwen2": 1e-6, "qwen3": 1e-6, "chameleon": 1e-5}
_NUMBERS = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
_LINEAR = {
    "attention/query": "self_attn.q_proj",
    "attention/key": "self_attn.k_proj",
    "attention/value": "self_attn.v_proj",
    "attention/output": "self_attn.o_proj",
    "mlp/gate": "mlp.gate_proj",
    "mlp/up": "mlp.up_proj",
    "mlp/down": "mlp.down_proj",
}
_SCALING = {
    "factor": "factor",
    "low": "low_freq_factor",
    "high": "high_freq_factor",
    "original": "original_max_position_embeddings",
}


def trunk_settings(values: AnyMapping[str, Any], path: str, tied: bool) -> FusionSettings:
    """Settings that compute what a model with this `config.json` computes; without memory and without contrastive heads.

    Args:
      values: the content of `config.json`.
      path: of that file, for messages.
      tied: whether input and output share a table where the file does not say.

    Raises:
      InputError: a key is missing, or the model does something that cannot be done here; the message names the key.
    """
    kind = values["model_type"]
    for name in _NUMBERS:
        if type(values.get(name)) is not int:
            raise InputError(f"{path}: {name} is {values.get(name)!r}; want a whole number")
    _refuse_unknown(values, path)
    rope = values.get("rope_parameters") or values.get("rope_scaling") or {}
    biases = bool(values.get("attention_bias", False))
    settings = {
        "width": values["hidden_size"],
        "depth": values["num_hidden_layers"],
        "heads": values["num_attention_heads"],
        "kv_heads": values.get("num_key_value_heads") or 0,
        "head_features": values.get("head_dim") or (128 if kind == "qwen3" else 0),
        "hidden": values["intermediate_size"],
        "qk_norm": _NORM[kind],
        "query_bias": biases or kind == "qwen2",
        "output_bias": biases and kind != "qwen2",
        "mlp_bias": bool(values.get("mlp_bias", False)),
        "rope_base": rope.get("rope_theta") or values.get("rope_theta") or 10_000.0,
        "rope_scaling": _scaling(rope, values, path),
        "epsilon": values.get("rms_norm_eps", _EPSILON[kind]),
        "tied": bool(values.get("tie_word_embeddings", tied)),
        "cross_every": 0,
        "embedding": 0,
    }
    return config.parse(FusionSettings, settings, path)


def _refuse_unknown(values: AnyMapping[str, Any], path: str) -> None:
    """Refuses settings that change the computation in ways that are not known here."""
    if values.get("hidden_act", "silu") != "silu":
        raise InputError(f"{path}: hidden_act is {values['hidden_act']!r}; want 'silu'")
    for name in ("swin_norm", "use_sliding_window", "quantization_config"):
        if values.get(name):
            raise InputError(f"{path}: {name} is set; want a model without it")
    if any(kind != "full_attention" for kind in values.get("layer_types") or []):
        raise InputError(f"{path}: layer_types has others than full_attention; want a model without them")
    if values["model_type"] == "chameleon" and values.get("rms_norm_eps", 1e-5) != 1e-5:
        raise InputError(f"{path}: rms_norm_eps is {values['rms_norm_eps']}; want that of Chameleon's other norms, 1e-05")


def _scaling(rope: AnyMapping[str, Any], values: AnyMapping[str, Any], path: str) -> dict[str, Any] | None:
    kind = rope.get("rope_type") or rope.get("type") or "default"
    if rope.get("partial_rotary_factor", values.get("partial_rotary_factor", 1.0)) != 1.0:
        raise InputError(f"{path}: partial_rotary_factor is set; want rotary positions of all features")
    if kind == "default":
        return None
    if kind not in ("linear", "llama3"):
        raise InputError(f"{path}: rope_type is {kind!r}; want one of default, linear, llama3")
    names = _SCALING if kind == "llama3" else {"factor": "factor"}
    if missing := [name for name in names.values() if name not in rope]:
        raise InputError(f"{path}: rope_parameters: {missing[0]} is missing; {kind} wants it")
    return {"kind": kind} | {own: rope[name] for own, name in names.items()}


def trunk_mapping(settings: FusionSettings, rows: int, total: int) -> Mapping:
    """Rules for all parameters that a trunk has in `transformers`.

    Args:
      settings: of the fusion transformer.
      rows: of the table of embeddings there.
      total: of the table here; the new ones get the mean.
    """
    more = more_rows(rows, total)
    rules = {"embed/embedding": Rule((EMBEDDING,), more), "norm/scale": Rule(("model.norm.weight",))}
    if not settings.tied:
        rules["head"] = Rule((HEAD,), then(more, TRANSPOSED))
    every = settings.cross_every or 1
    for number in range(every):
        layers = range(number, settings.depth, every)
        for target, (name, change) in _block(settings).items():
            sources = tuple(f"model.layers.{layer}.{name}" for layer in layers)
            rules[f"layers/block_{number}/{target}"] = Rule(sources, change, stacked=True)
    return rules


def _block(settings: FusionSettings) -> dict[str, tuple[str, Change]]:
    """Tensor and change for each parameter of a block."""
    found = {"attention_norm/scale": ("input_layernorm.weight", SAME)}
    found["mlp_norm/scale"] = ("post_attention_layernorm.weight", SAME)
    biased = {
        **dict.fromkeys(("attention/query", "attention/key", "attention/value"), settings.query_bias),
        "attention/output": settings.output_bias,
        **dict.fromkeys(("mlp/gate", "mlp/up", "mlp/down"), settings.mlp_bias),
    }
    for target, name in _LINEAR.items():
        found[f"{target}/kernel"] = (f"{name}.weight", TRANSPOSED)
        if biased[target]:
            found[f"{target}/bias"] = (f"{name}.bias", SAME)
    parts = {"none": {}, "rms": {"scale": "weight"}, "layer": {"head_scale": "weight", "head_bias": "bias"}}
    for own, name in (("query", "q_norm"), ("key", "k_norm")):
        for target, part in parts[settings.qk_norm].items():
            found[f"attention/{own}_norm/{target}"] = (f"self_attn.{name}.{part}", SAME)
    return found


def family(settings: FusionSettings, path: str) -> str:
    """The `model_type` of `transformers` that computes what these settings do.

    Raises:
      InputError: there is none.
    """
    own = [name for name in ("cell_places", "prompt_mean", "code_levels") if getattr(settings, name)]
    if own:
        raise InputError(f"{path}: model.{own[0]} is set; no model of transformers knows it")
    kind = {"rms": "qwen3", "layer": "chameleon", "none": "llama"}[settings.qk_norm]
    if kind == "llama" and settings.query_bias and not settings.output_bias and not settings.mlp_bias:
        return "qwen2"
    if settings.query_bias != settings.output_bias or (kind == "qwen3" and settings.mlp_bias):
        raise InputError(f"{path}: model.query_bias, output_bias and mlp_bias are set as in no model of transformers")
    if kind == "chameleon" and settings.head_features not in (0, settings.width // settings.heads):
        raise InputError(f"{path}: model.head_features is {settings.head_features}; Chameleon wants width / heads")
    return kind


def trunk_config(settings: FusionSettings, rows: int, path: str) -> dict[str, Any]:
    """The `config.json` of `transformers` for a trunk with `rows` embeddings.

    Raises:
      InputError: no model of transformers computes what these settings do.
    """
    kind, shape = family(settings, path), settings.block
    values = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": rows,
        "hidden_size": settings.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": settings.depth,
        "num_attention_heads": settings.heads,
        "num_key_value_heads": shape.kv_heads,
        "hidden_act": "silu",
        "rms_norm_eps": settings.epsilon,
        "tie_word_embeddings": settings.tied,
        "rope_theta": settings.rope_base,
    }
    if kind in ("llama", "qwen3"):
        values["head_dim"] = shape.head_features
    if kind != "qwen2":
        values["attention_bias"] = settings.query_bias
    if kind in ("llama", "chameleon"):
        values["mlp_bias"] = settings.mlp_bias
    if settings.rope_scaling:
        scaling = settings.rope_scaling
        names = _SCALING if scaling.kind == "llama3" else {"factor": "factor"}
        values["rope_scaling"] = {"rope_type": scaling.kind} | {name: getattr(scaling, own) for own, name in names.items()}
    return values
