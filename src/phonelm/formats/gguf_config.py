"""DecoderConfig to GGUF metadata, with the names and keys of llama.cpp's converter.

`phonelm` is for every decoder of the runtime that llama.cpp has no name for.
"""

from __future__ import annotations

from typing import Any

from phonelm.arch import DecoderConfig, Rope
from phonelm.formats.gguf_architectures import gemma3_sliding_layers, gguf_architecture, rotating_layer


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
