"""DecoderConfig to and from Hugging Face's config.json; what only one model type has is its family's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phonelm.arch import Attention, DecoderConfig, Embedding, Ffn, Head, Layer
from phonelm.arch.ffn import Activation
from phonelm.formats.families import FAMILIES, Family, by_model_type
from phonelm.formats.families.base import rotating_layer
from phonelm.formats.gguf_outline import differences
from phonelm.formats.hf_rope import rope_of
from phonelm.formats.hf_rope_keys import rope_keys

_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "relu2": "relu2",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
}
_ACTIVATION_NAMES = {ours: name for name, ours in _ACTIVATIONS.items() if name != "swish"}


def config_from_hf(config_json: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that a config.json describes.

    Takes the keys of transformers 4 (`rope_theta`) and 5 (`rope_parameters`). Raises `ValueError` for another
    model type, a scaling of RoPE, an activation or a feature that the runtime lacks, and missing keys.
    """
    family = by_model_type(config_json.get("model_type"))
    if not family.has_windows:
        _refuse_windows(config_json)
    norm = family.hf_norm(config_json)
    layer = Layer(mixer=_mixer(config_json, family), ffn=_ffn(config_json, family), norm=norm)
    return DecoderConfig(
        vocab_size=_count(config_json, "vocab_size"),
        hidden_size=_count(config_json, "hidden_size"),
        context_length=int(config_json.get("max_position_embeddings", family.default_context)),
        embedding=Embedding(scaled=family.scales_embedding),
        layers=family.hf_layers(config_json, layer, _count(config_json, "num_hidden_layers")),
        norm=norm,
        head=Head(tied=bool(config_json.get("tie_word_embeddings", family.tied_by_default))),
    )


def config_to_hf(config: DecoderConfig, model_type: str = "phonelm") -> dict[str, Any]:
    """The config.json of a decoder, readable by `config_from_hf` and by transformers 4 and 5.

    Raises `ValueError` for a decoder that the model type cannot describe, naming what differs.
    """
    family = by_model_type(model_type)
    for feature in family.lacking(config):
        others = [other.model_type for other in FAMILIES if not any(other.lacking(config))]
        advice = f"; use {others[0]}" if others else ""
        raise ValueError(f"a config.json of {model_type} has no decoders with {feature}{advice}")
    document = _document(config, family)
    for difference in differences(config, config_from_hf(document)):
        raise ValueError(f"a config.json of {model_type} cannot tell of {difference}")
    return document


def _document(config: DecoderConfig, family: Family) -> dict[str, Any]:
    layer = rotating_layer(config)
    return {
        "architectures": [family.hf_class],
        "model_type": family.model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": layer.mixer.num_heads,
        "num_key_value_heads": layer.mixer.num_kv_heads,
        "head_dim": layer.mixer.head_dim,
        "intermediate_size": layer.ffn.intermediate_size,
        family.activation_key: _ACTIVATION_NAMES[layer.ffn.activation],
        "rms_norm_eps": config.norm.eps,
        "tie_word_embeddings": config.head.tied,
        "max_position_embeddings": config.context_length,
        **rope_keys(config),
        **family.hf_keys(config),
    }


def _mixer(config_json: Mapping[str, Any], family: Family) -> Attention:
    heads = _count(config_json, "num_attention_heads")
    default_head_dim = family.default_head_dim or _count(config_json, "hidden_size") // heads
    return Attention(
        num_heads=heads,
        num_kv_heads=int(config_json.get("num_key_value_heads") or heads),
        head_dim=int(config_json.get("head_dim") or default_head_dim),
        rope=rope_of(config_json, family.default_theta, family.rope_kinds, family.rotates_a_part),
        bias=family.hf_biases(config_json)[0],
    )


def _ffn(config_json: Mapping[str, Any], family: Family) -> Ffn:
    return Ffn(
        intermediate_size=_count(config_json, "intermediate_size"),
        activation=_activation(config_json, family),
        bias=family.hf_biases(config_json)[1],
    )


def _refuse_windows(config_json: Mapping[str, Any]) -> None:
    windowed = "sliding_attention" in (config_json.get("layer_types") or ())
    if config_json.get("use_sliding_window") or windowed:
        raise ValueError(
            "config.json sets use_sliding_window, which the runtime does not support for its kind"
        )


def _activation(config_json: Mapping[str, Any], family: Family) -> Activation:
    name = config_json.get(family.activation_key, family.default_activation)
    if name not in _ACTIVATIONS:
        raise ValueError(
            f"{family.activation_key} {name!r} is not supported; use one of {', '.join(_ACTIVATIONS)}"
        )
    return _ACTIVATIONS[name]


def _count(config_json: Mapping[str, Any], key: str) -> int:
    value = config_json.get(key)
    if value is None:
        raise ValueError(f"config.json lacks {key}; is this the folder of a whole checkpoint?")
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"config.json has {key} = {value!r}; it must be a positive integer")
    return value
