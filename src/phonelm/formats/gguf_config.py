"""DecoderConfig to and from GGUF metadata, with the names and keys of llama.cpp's converter.

`phonelm` is for every decoder of the runtime that llama.cpp has no name for.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any

from phonelm.arch import DecoderConfig, Rope, RopeScaling
from phonelm.formats.gguf_architectures import (
    ARCHITECTURES,
    gemma3_attention_scale,
    gemma3_sliding_layers,
    gguf_architecture,
    rotating_layer,
    smollm3_rope_layers,
)


def config_metadata(config: DecoderConfig) -> dict[str, Any]:
    """The architecture's GGUF keys. Raises `ValueError` for a decoder that the runtime cannot run."""
    arch = gguf_architecture(config)
    layer = rotating_layer(config)
    mixer, ffn, rope = layer.mixer, layer.ffn, layer.mixer.rope or Rope()
    keys: dict[str, Any] = {
        "context_length": config.context_length,
        "embedding_length": config.hidden_size,
        "block_count": config.num_layers,
        "feed_forward_length": ffn.intermediate_size,
        "attention.head_count": mixer.num_heads,
        "attention.head_count_kv": mixer.num_kv_heads,
        "attention.key_length": mixer.head_dim,
        "attention.value_length": mixer.head_dim,
        "attention.layer_norm_rms_epsilon": config.norm.eps,
        "rope.dimension_count": rope.rotated_dims(mixer.head_dim),
        "rope.freq_base": rope.theta,
        "vocab_size": config.vocab_size,
        **_scaling_keys(config, arch),
        **_window_keys(config, arch),
    }
    if arch == "phonelm":
        keys["hidden_activation"] = ffn.activation
        keys["ffn_gated"] = ffn.gated
        keys["rope.table"] = rope.table
    return {"general.architecture": arch, **{f"{arch}.{key}": value for key, value in keys.items()}}


def _scaling_keys(config: DecoderConfig, arch: str) -> dict[str, Any]:
    rope = rotating_layer(config).mixer.rope
    scaling = rope.scaling if rope else None
    # The original context of a phi3 model without scaling is its context.
    original = {"rope.scaling.original_context_length": config.context_length} if arch == "phi3" else {}
    if scaling is None or scaling.kind == "factors":
        return original
    keys: dict[str, Any] = {}
    if scaling.kind != "longrope":
        keys |= {"rope.scaling.type": scaling.kind, "rope.scaling.factor": scaling.factor}
    if scaling.magnitude != 1.0:
        keys["rope.scaling.attn_factor"] = scaling.magnitude
    if scaling.original_context is not None:
        keys["rope.scaling.original_context_length"] = scaling.original_context
    if scaling.kind == "yarn":
        keys |= {
            "rope.scaling.yarn_beta_fast": scaling.beta_fast,
            "rope.scaling.yarn_beta_slow": scaling.beta_slow,
        }
    return keys


def _window_keys(config: DecoderConfig, arch: str) -> dict[str, Any]:
    windows = [layer.mixer.window for layer in config.layers]
    if arch == "phi3":
        return {"attention.sliding_window": windows[0] or 0}
    windowed = next((layer for layer in config.layers if layer.mixer.window), None)
    if arch != "gemma3" or windowed is None:
        return {}
    keys: dict[str, Any] = {"attention.sliding_window": windowed.mixer.window}
    keys["rope.freq_base_swa"] = (windowed.mixer.rope or Rope()).theta
    layers = tuple(window is not None for window in windows)
    if layers != gemma3_sliding_layers(config.num_layers):
        keys["attention.sliding_window_pattern"] = list(layers)
    return keys


def config_from_gguf(metadata: Mapping[str, Any], tensor_types: Container[str]) -> DecoderConfig:
    """The decoder that a GGUF file holds.

    `metadata` are the file's keys, `tensor_types` anything that knows the names of its tensors. The storage
    order of q and k is no part of the configuration, and factors of RoPE that are tensors stay unknown.
    Raises `ValueError` for another architecture, a missing key, or a feature that the runtime lacks.
    """
    arch = metadata.get("general.architecture")
    if arch not in (*ARCHITECTURES, "phonelm"):
        names = ", ".join((*ARCHITECTURES, "phonelm"))
        raise ValueError(f"GGUF architecture {arch!r} is not supported; use files of {names}")
    if metadata.get(f"{arch}.expert_count"):
        raise ValueError("the file holds a mixture of experts, which the runtime does not support")

    def get(key: str, *default: Any) -> Any:
        return _get(metadata, f"{arch}.{key}", *default)

    heads, hidden = _scalar(get("attention.head_count")), int(get("embedding_length"))
    head_dim = int(get("attention.key_length", hidden // max(heads, 1))) or 1
    vocab = get("vocab_size", len(metadata.get("tokenizer.ggml.tokens", ())) or None)
    if vocab is None:
        raise ValueError(f"GGUF metadata lack {arch}.vocab_size; convert the model again")
    fields = dict(
        vocab_size=int(vocab),
        hidden_size=hidden,
        num_layers=int(get("block_count")),
        num_heads=heads,
        num_kv_heads=_scalar(get("attention.head_count_kv", heads)),
        head_dim=head_dim,
        intermediate_size=_scalar(get("feed_forward_length")),
        norm_eps=_decimal(get("attention.layer_norm_rms_epsilon")),
        rope_theta=_decimal(get("rope.freq_base", 10000.0)),
        rope_fraction=int(get("rope.dimension_count", head_dim)) / head_dim,
        rope_scaling=_scaling(metadata, tensor_types, arch),
        tie_embeddings="output.weight" not in tensor_types,
        context_length=int(get("context_length")),
        attention_scale=_attention_scale(metadata, arch),
        **_kind(metadata, tensor_types, arch),
        **_layers(metadata, arch),
    )
    return DecoderConfig.model_validate(fields)


def _kind(metadata: Mapping[str, Any], tensor_types: Container[str], arch: str) -> dict[str, Any]:
    bias = _bias(tensor_types)
    if arch == "phonelm":
        return {
            "bias": bias,
            "ffn": "gated" if _get(metadata, "phonelm.ffn_gated", True) else "plain",
            "activation": _get(metadata, "phonelm.hidden_activation"),
            "rope_table": _get(metadata, "phonelm.rope.table", "float"),
        }
    kind = ARCHITECTURES[arch]
    return {
        "bias": bias,
        "ffn": kind.ffn,
        "activation": kind.activation,
        "qk_norm": kind.qk_norm,
        "post_norm": kind.is_gemma,
        "scale_embedding": kind.is_gemma,
        "fused_projections": kind.fused_projections,
    }


def _bias(tensor_types: Container[str]) -> str:
    attention = any(f"blk.0.{name}.bias" in tensor_types for name in ("attn_q", "attn_qkv"))
    if "blk.0.ffn_up.bias" in tensor_types:
        return "all" if attention else "ffn"
    if attention:
        return "attention" if "blk.0.attn_output.bias" in tensor_types else "qkv"
    return "none"


def _scaling(metadata: Mapping[str, Any], tensor_types: Container[str], arch: str) -> RopeScaling | None:
    def get(key: str, default: Any) -> Any:
        return _get(metadata, f"{arch}.rope.scaling.{key}", default)

    context = int(get("original_context_length", _get(metadata, f"{arch}.context_length")))
    magnitude = _decimal(get("attn_factor", 1.0))
    if "rope_factors_long.weight" in tensor_types:
        return RopeScaling(kind="longrope", original_context=context, magnitude=magnitude)
    if "rope_freqs.weight" in tensor_types:
        return RopeScaling(kind="factors")
    # The older name; 0 is none.
    factor = _decimal(get("factor", _get(metadata, f"{arch}.rope.scale_linear", 0.0))) or 1.0
    kind = get("type", "linear")
    if kind == "none" or factor == 1.0:
        return None
    if kind == "yarn":
        return RopeScaling(
            kind="yarn",
            factor=factor,
            original_context=context,
            magnitude=magnitude,
            beta_fast=_decimal(get("yarn_beta_fast", 32.0)),
            beta_slow=_decimal(get("yarn_beta_slow", 1.0)),
        )
    if kind != "linear":
        raise ValueError(f"the file scales RoPE frequencies ({kind}), which the runtime does not support")
    return RopeScaling(kind="linear", factor=factor)


def _attention_scale(metadata: Mapping[str, Any], arch: str) -> float | None:
    """Where it is not that of the head's size."""
    num_layers = int(_get(metadata, f"{arch}.block_count"))
    if arch != "gemma3" or num_layers != 62:
        return None
    hidden = int(_get(metadata, f"{arch}.embedding_length"))
    return gemma3_attention_scale(
        num_layers, hidden, _scalar(_get(metadata, f"{arch}.attention.head_count")), 0
    )


def _layers(metadata: Mapping[str, Any], arch: str) -> dict[str, Any]:
    num_layers = int(_get(metadata, f"{arch}.block_count"))
    window = _get(metadata, f"{arch}.attention.sliding_window", 0) or None
    if arch == "smollm3":
        return {"rope_layers": smollm3_rope_layers(num_layers)}
    if arch == "phi3":
        return {"sliding_window": window}
    if arch != "gemma3":
        return {}
    if window is None:
        return {}
    pattern = _get(metadata, f"{arch}.attention.sliding_window_pattern", 6)
    is_list = isinstance(pattern, list | tuple)
    layers = tuple(pattern) if is_list else gemma3_sliding_layers(num_layers, int(pattern))
    return {
        "sliding_window": window,
        "sliding_layers": layers,
        "sliding_rope_theta": _decimal(_get(metadata, f"{arch}.rope.freq_base_swa", 10000.0)),
    }


def _get(metadata: Mapping[str, Any], key: str, *default: Any) -> Any:
    if key in metadata:
        return metadata[key]
    if default:
        return default[0]
    raise ValueError(f"GGUF metadata lack {key}; convert the model again")


def _scalar(value: Any) -> int:
    if not isinstance(value, list | tuple):
        return int(value)
    if len(set(value)) != 1:
        raise ValueError("layers of different sizes are not supported by the runtime")
    return int(value[0])


def _decimal(value: float) -> float:
    """The shortest decimal that is this number in float32 (GGUF keeps 1e-5 as 9.9999997e-06)."""
    return float(f"{value:.7g}")
