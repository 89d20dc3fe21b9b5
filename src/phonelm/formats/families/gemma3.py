"""Gemma 3 (text): windows with a rope of their own, norms before and after, a scaled embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from phonelm.arch import ANY, DecoderConfig, Layer, Rope
from phonelm.arch.tensors import TensorShape
from phonelm.formats.families.base import LINEAR_SCALINGS, Family, Floats, changed, place_of
from phonelm.formats.hf_rope import rope_kind

_LOCAL_THETA = 10000.0
_LOCAL, _FULL = "sliding_attention", "full_attention"
"""Of config.json's `layer_types`."""


class Gemma3(Family):
    """Norms multiply by 1 + weight in Hugging Face's files and by the weight in GGUF's."""

    architecture = "gemma3"
    model_type = "gemma3_text"
    features: ClassVar[Mapping[str, Any]] = {
        **LINEAR_SCALINGS,
        "layers.ffn.activation": ("gelu_tanh",),
        "layers.mixer.qk_norm": ("head",),
        "layers.mixer.window": ANY,
        "layers.mixer.scale": ANY,
        "layers.residual.post_norm": ANY,
        "embedding.scaled": ANY,
    }
    varying = ("rope", "window")
    # A scale that GGUF has no key for goes into the norm that comes right before it.
    held_by_tensors = frozenset({"mixer.scale"})
    tensor_names: ClassVar[Mapping[str, Any]] = {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    }
    default_activation = "gelu_pytorch_tanh"
    activation_key = "hidden_activation"
    default_theta = 1e6
    default_context = 131072
    default_head_dim = 256
    tied_by_default = True
    scales_embedding = True
    has_windows = True
    hf_class = "Gemma3ForCausalLM"

    def gguf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """The window and its base."""
        mixer = next((layer.mixer for layer in config.layers if layer.mixer.window), None)
        if mixer is None:
            return {}
        return {
            "attention.sliding_window": mixer.window,
            "rope.freq_base_swa": (mixer.rope or Rope()).theta,
        }

    def completing_keys(self, config: DecoderConfig, understood: DecoderConfig) -> dict[str, Any]:
        """Which layers have the window, where it is not as the reader would have it."""
        windowed, without_key = (
            [layer.mixer.window is not None for layer in decoder.layers] for decoder in (config, understood)
        )
        return {} if windowed == without_key else {"attention.sliding_window_pattern": windowed}

    def hf_layers(self, document: Mapping[str, Any], layer: Layer, num_layers: int) -> tuple[Layer, ...]:
        """`layer_types` tells which have the window, and their base."""
        for key in ("attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"):
            if document.get(key):
                raise ValueError(f"config.json sets {key}, which the runtime does not support")
        scale = document.get("query_pre_attn_scalar", 256)
        is_usual = scale == document.get("head_dim", self.default_head_dim)
        mixer = {"qk_norm": "head", "scale": None if is_usual else float(scale) ** -0.5}
        full = changed(layer, mixer=mixer, residual={"post_norm": True})
        kinds = _layer_kinds(document, num_layers)
        if _LOCAL not in kinds:
            return (full,) * num_layers
        window = document.get("sliding_window", 4096)
        local = changed(full, mixer={"window": window, "rope": Rope(theta=_local_theta(document))})
        return tuple(local if kind == _LOCAL else full for kind in kinds)

    def stored_values(
        self, values: Floats, tensor: TensorShape, config: DecoderConfig, understood: DecoderConfig
    ) -> Floats:
        """Weights of norms as they multiply."""
        if tensor.role != "vector":
            return values
        values = values + np.float32(1.0)
        index, part = place_of(tensor.name)
        if part != "attn_q_norm":
            return values
        return values * np.float32(_scale_ratio(config.layers[index], understood.layers[index]))

    def checkpoint_values(self, values: Floats, tensor: TensorShape, config: DecoderConfig) -> Floats:
        """Weights of norms without the one; a scale that went into a norm stays there."""
        return values - np.float32(1.0) if tensor.role == "vector" else values

    def hf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """Windows, their base, and the scale."""
        mixers = [layer.mixer for layer in config.layers]
        windowed = next((mixer for mixer in mixers if mixer.window), None)
        keys = {
            "query_pre_attn_scalar": _scalar_of(mixers[0].scale) or mixers[0].head_dim,
            "layer_types": [_LOCAL if mixer.window else _FULL for mixer in mixers],
            "attn_logit_softcapping": None,
            "final_logit_softcapping": None,
        }
        if windowed is None:
            return keys
        theta = (windowed.rope or Rope()).theta
        return {**keys, "sliding_window": windowed.window, "rope_local_base_freq": theta}


def _scalar_of(scale: float | None) -> float | None:
    """What a scale is one by the square root of; whole where it is but for rounding."""
    scalar = scale and scale**-2
    return round(scalar) if scalar and abs(scalar - round(scalar)) < 1e-5 * scalar else scalar


def _layer_kinds(document: Mapping[str, Any], num_layers: int) -> list[str]:
    """Without a list of them, all but the last of each period have the window."""
    period = document.get("sliding_window_pattern", 6)
    kinds = document.get("layer_types") or [
        _LOCAL if (index + 1) % period else _FULL for index in range(num_layers)
    ]
    if len(kinds) != num_layers:
        raise ValueError(f"config.json has {len(kinds)} layer_types for {num_layers} layers")
    return list(kinds)


def _local_theta(document: Mapping[str, Any]) -> float:
    """The base of layers with a window. Raises `ValueError` where it is scaled."""
    local = (document.get("rope_parameters") or {}).get(_LOCAL) or {}
    if (kind := rope_kind(local)) != "default":
        raise ValueError(f"config.json scales RoPE ({kind}) in layers with a window; it is not supported")
    return float(local.get("rope_theta") or document.get("rope_local_base_freq") or _LOCAL_THETA)


def _scale_ratio(layer: Layer, understood: Layer) -> float:
    """The scale that is meant by the one that the file implies."""
    meant, implied = (decoder.mixer.scale or decoder.mixer.head_dim**-0.5 for decoder in (layer, understood))
    return 1.0 if np.float32(meant) == np.float32(implied) else meant / implied
