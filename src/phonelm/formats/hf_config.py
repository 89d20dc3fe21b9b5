"""DecoderConfig to and from Hugging Face's config.json, for model types `llama` and `phonelm`.

A `phonelm` configuration has LLaMA's keys and two more: `ffn_gated` (default true) and `rope_table`, one of
`int8_per_call` (the published checkpoints, and the default), `int8` (fixed scale) and `float`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phonelm.arch.config import Activation, DecoderConfig, RopeTable
from phonelm.formats.gguf_config import gguf_architecture

MODEL_TYPES = ("llama", "phonelm")
ROPE_TABLES = ("int8_per_call", "int8", "float")
DEFAULT_ROPE_TABLE = "int8_per_call"

_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "relu2": "relu2",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
}


def config_from_hf(config_json: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that a config.json describes.

    Takes the keys of transformers 4 (`rope_theta`) and 5 (`rope_parameters`). Raises `ValueError` for another
    model type, scaled RoPE, biases, an unknown activation, and missing keys.
    """
    kind = config_json.get("model_type")
    if kind not in MODEL_TYPES:
        raise ValueError(f"model_type {kind!r} is not supported; use one of {', '.join(MODEL_TYPES)}")
    for key in ("attention_bias", "mlp_bias"):
        if config_json.get(key):
            raise ValueError(f"config.json sets {key}, which the runtime does not support")
    heads, hidden = _count(config_json, "num_attention_heads"), _count(config_json, "hidden_size")
    return DecoderConfig(
        vocab_size=_count(config_json, "vocab_size"),
        hidden_size=hidden,
        num_layers=_count(config_json, "num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=int(config_json.get("num_key_value_heads") or heads),
        head_dim=int(config_json.get("head_dim") or hidden // heads),
        intermediate_size=_count(config_json, "intermediate_size"),
        ffn="gated" if config_json.get("ffn_gated", True) else "plain",
        activation=_activation(config_json),
        norm_eps=float(config_json.get("rms_norm_eps", 1e-6)),
        rope_theta=_rope_theta(config_json),
        rope_table=_rope_table(config_json),
        tie_embeddings=bool(config_json.get("tie_word_embeddings", kind == "phonelm")),
        context_length=int(config_json.get("max_position_embeddings", 2048)),
    )


def config_to_hf(config: DecoderConfig, model_type: str = "phonelm") -> dict[str, Any]:
    """The config.json of a decoder, readable by `config_from_hf` and by transformers 4 and 5.

    `model_type` "llama" is for gated SiLU decoders, which need no code of ours. Raises `ValueError` for a
    decoder that the model type cannot describe.
    """
    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type {model_type!r} is not supported; use one of {', '.join(MODEL_TYPES)}")
    if gguf_architecture(config) != "llama" and model_type == "llama":
        raise ValueError(
            "only gated SiLU decoders with a float RoPE table are of model_type llama; use phonelm"
        )
    names = {"llama": "LlamaForCausalLM", "phonelm": "PhoneLMForCausalLM"}
    document: dict[str, Any] = {
        "architectures": [names[model_type]],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.heads_at(0),
        "num_key_value_heads": config.kv_heads_at(0),
        "head_dim": config.head_dim,
        "intermediate_size": config.intermediate_at(0),
        "hidden_act": config.activation,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tie_embeddings,
        "max_position_embeddings": config.context_length,
    }
    if model_type == "phonelm":
        document |= {"ffn_gated": config.ffn == "gated", "rope_table": config.rope_table}
    return document


def _activation(config_json: Mapping[str, Any]) -> Activation:
    name = config_json.get("hidden_act", "silu" if config_json["model_type"] == "llama" else "relu")
    if name not in _ACTIVATIONS:
        raise ValueError(f"hidden_act {name!r} is not supported; use one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def _rope_theta(config_json: Mapping[str, Any]) -> float:
    parameters = config_json.get("rope_parameters") or {}
    for rope in (parameters, config_json.get("rope_scaling") or {}):
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            raise ValueError(f"config.json scales RoPE ({kind}), which the runtime does not support")
    if parameters.get("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("config.json rotates a part of each head, which the runtime does not support")
    return float(parameters.get("rope_theta") or config_json.get("rope_theta") or 10000.0)


def _rope_table(config_json: Mapping[str, Any]) -> RopeTable:
    if config_json["model_type"] == "llama":
        return "float"
    table = config_json.get("rope_table", DEFAULT_ROPE_TABLE)
    if table not in ROPE_TABLES:
        raise ValueError(f"rope_table {table!r} is not known; use one of {', '.join(ROPE_TABLES)}")
    return "float" if table == "float" else "int8"


def _count(config_json: Mapping[str, Any], key: str) -> int:
    value = config_json.get(key)
    if value is None:
        raise ValueError(f"config.json lacks {key}; is this the folder of a whole checkpoint?")
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"config.json has {key} = {value!r}; it must be a positive integer")
    return value
