"""DecoderConfig to and from Hugging Face's config.json.

A `phonelm` configuration has LLaMA's keys and two more: `ffn_gated` (default true) and `rope_table`, one of
`int8_per_call` (the published checkpoints, and the default), `int8` (fixed scale) and `float`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phonelm.arch import DecoderConfig, Rope
from phonelm.arch.ffn import Activation
from phonelm.arch.rope import RopeTable
from phonelm.formats.gguf_architectures import gguf_architecture
from phonelm.formats.hf_rope import rope_scaling, rope_theta, sliding_rope_theta

MODEL_TYPES = ("llama", "phonelm", "arcee", "qwen2", "qwen3", "gemma3_text", "phi3", "smollm3")
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
_DEFAULT_ACTIVATIONS = {"phonelm": "relu", "arcee": "relu2", "gemma3_text": "gelu_pytorch_tanh"}
_TIED_BY_DEFAULT = ("phonelm", "gemma3_text", "smollm3")
_DEFAULT_CONTEXT = {"gemma3_text": 131072, "qwen2": 32768, "qwen3": 32768, "smollm3": 32768, "phi3": 4096}
_DEFAULT_HEAD_DIM = {"gemma3_text": 256, "qwen3": 128}


def config_from_hf(config_json: Mapping[str, Any]) -> DecoderConfig:
    """The decoder that a config.json describes.

    Takes the keys of transformers 4 (`rope_theta`) and 5 (`rope_parameters`). Raises `ValueError` for another
    model type, a scaling of RoPE, an activation or a feature that the runtime lacks, and missing keys.
    """
    kind = config_json.get("model_type")
    if kind not in MODEL_TYPES:
        raise ValueError(f"model_type {kind!r} is not supported; use one of {', '.join(MODEL_TYPES)}")
    heads, hidden = _count(config_json, "num_attention_heads"), _count(config_json, "hidden_size")
    default_head_dim = _DEFAULT_HEAD_DIM.get(kind, hidden // heads)
    fields = dict(
        vocab_size=_count(config_json, "vocab_size"),
        hidden_size=hidden,
        num_layers=_count(config_json, "num_hidden_layers"),
        num_heads=heads,
        num_kv_heads=int(config_json.get("num_key_value_heads") or heads),
        head_dim=int(config_json.get("head_dim") or default_head_dim),
        intermediate_size=_count(config_json, "intermediate_size"),
        activation=_activation(config_json, kind),
        norm_eps=float(config_json.get("rms_norm_eps", 1e-5 if kind in ("arcee", "phi3") else 1e-6)),
        rope_theta=rope_theta(config_json),
        rope_scaling=rope_scaling(config_json),
        bias=_bias(config_json, kind),
        tie_embeddings=bool(config_json.get("tie_word_embeddings", kind in _TIED_BY_DEFAULT)),
        context_length=int(config_json.get("max_position_embeddings", _DEFAULT_CONTEXT.get(kind, 2048))),
        **_features(config_json, kind),
    )
    return DecoderConfig.model_validate(fields)


def config_to_hf(config: DecoderConfig, model_type: str = "phonelm") -> dict[str, Any]:
    """The config.json of a decoder, readable by `config_from_hf` and by transformers 4 and 5.

    `model_type` "llama" is for gated SiLU decoders, which need no code of ours. Raises `ValueError` for a
    decoder that the model type cannot describe.
    """
    names = {"llama": "LlamaForCausalLM", "phonelm": "PhoneLMForCausalLM"}
    if model_type not in names:
        raise ValueError(f"model_type {model_type!r} is not supported; use one of {', '.join(names)}")
    architecture = gguf_architecture(config)
    if architecture != "llama" and model_type == "llama":
        raise ValueError(
            "only gated SiLU decoders with a float RoPE table are of model_type llama; use phonelm"
        )
    layer = config.layers[0]
    mixer, ffn, rope = layer.mixer, layer.ffn, layer.mixer.rope or Rope()
    biased = mixer.bias != "none" or ffn.bias
    if architecture not in ("llama", "arcee", "phonelm") or biased or rope.scaling:
        raise ValueError(
            f"a {architecture} decoder with biases, norms or ropes of its own has no such config.json"
        )
    document: dict[str, Any] = {
        "architectures": [names[model_type]],
        "model_type": model_type,
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": mixer.num_heads,
        "num_key_value_heads": mixer.num_kv_heads,
        "head_dim": mixer.head_dim,
        "intermediate_size": ffn.intermediate_size,
        "hidden_act": ffn.activation,
        "rms_norm_eps": config.norm.eps,
        "rope_theta": rope.theta,
        "tie_word_embeddings": config.head.tied,
        "max_position_embeddings": config.context_length,
    }
    if model_type == "phonelm":
        document |= {"ffn_gated": ffn.gated, "rope_table": rope.table}
    return document


def _features(config_json: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What a model type has beyond LLaMA's keys."""
    if kind == "phonelm":
        gated = config_json.get("ffn_gated", True)
        return {"ffn": "gated" if gated else "plain", "rope_table": _rope_table(config_json)}
    if kind == "arcee":
        return {"ffn": "plain"}
    if kind == "gemma3_text":
        return _gemma3(config_json)
    if kind == "phi3":
        partial = (config_json.get("rope_parameters") or {}).get("partial_rotary_factor")
        return {
            "fused_projections": True,
            "sliding_window": config_json.get("sliding_window"),
            "rope_fraction": float(partial or config_json.get("partial_rotary_factor", 1.0)),
        }
    _refuse_windows(config_json)
    if kind == "smollm3":
        return {"rope_layers": _smollm3_rope_layers(config_json)}
    return {"qk_norm": "head"} if kind == "qwen3" else {}


def _gemma3(config_json: Mapping[str, Any]) -> dict[str, Any]:
    for key in ("attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"):
        if config_json.get(key):
            raise ValueError(f"config.json sets {key}, which the runtime does not support")
    window, period = config_json.get("sliding_window", 4096), config_json.get("sliding_window_pattern", 6)
    kinds = config_json.get("layer_types") or [
        "sliding_attention" if (layer + 1) % period else "full_attention"
        for layer in range(_count(config_json, "num_hidden_layers"))
    ]
    features: dict[str, Any] = {"qk_norm": "head", "post_norm": True, "scale_embedding": True}
    scale = config_json.get("query_pre_attn_scalar", 256)
    if scale != config_json.get("head_dim", _DEFAULT_HEAD_DIM["gemma3_text"]):
        features["attention_scale"] = float(scale) ** -0.5
    if "sliding_attention" in kinds:
        features |= {
            "sliding_window": window,
            "sliding_layers": tuple(kind == "sliding_attention" for kind in kinds),
            "sliding_rope_theta": sliding_rope_theta(config_json),
        }
    return features


def _refuse_windows(config_json: Mapping[str, Any]) -> None:
    windowed = "sliding_attention" in (config_json.get("layer_types") or ())
    if config_json.get("use_sliding_window") or windowed:
        raise ValueError(
            "config.json sets use_sliding_window, which the runtime does not support for its kind"
        )


def _smollm3_rope_layers(config_json: Mapping[str, Any]) -> tuple[bool, ...] | None:
    interval = config_json.get("no_rope_layer_interval", 4)
    layers = config_json.get("no_rope_layers") or [
        (layer + 1) % interval for layer in range(_count(config_json, "num_hidden_layers"))
    ]
    # A model all of whose layers rotate is a LLaMA.
    return None if all(layers) else tuple(bool(layer) for layer in layers)


def _bias(config_json: Mapping[str, Any], kind: str) -> str:
    if kind == "qwen2":
        return "qkv"
    attention, ffn = bool(config_json.get("attention_bias")), bool(config_json.get("mlp_bias"))
    if kind == "phonelm" and (attention or ffn):
        name = "attention_bias" if attention else "mlp_bias"
        raise ValueError(f"config.json sets {name}, which the runtime does not support")
    if attention:
        return "all" if ffn else "attention"
    return "ffn" if ffn else "none"


def _activation(config_json: Mapping[str, Any], kind: str) -> Activation:
    key = "hidden_activation" if kind == "gemma3_text" else "hidden_act"
    name = config_json.get(key, _DEFAULT_ACTIVATIONS.get(kind, "silu"))
    if name not in _ACTIVATIONS:
        raise ValueError(f"{key} {name!r} is not supported; use one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]


def _rope_table(config_json: Mapping[str, Any]) -> RopeTable:
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
