"""Phi-3, Phi-3.5 and Phi-4-mini: joined projections, LongRoPE, a window in all layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phonelm.arch import ANY, DecoderConfig, Layer
from phonelm.formats.families.base import Family, changed, rotating_layer


class Phi3(Family):
    """Queries, keys and values are one matrix, gate and up another."""

    architecture = "phi3"
    model_type = "phi3"
    features: ClassVar[Mapping[str, Any]] = {
        "layers.mixer.rope.scaling": ANY,
        "layers.mixer.rope.scaling.kind": ("longrope",),
        "layers.mixer.rope.fraction": ANY,
        "layers.mixer.window": ANY,
        "layers.mixer.fused": ANY,
        "layers.ffn.fused": ANY,
    }
    required = ("layers.mixer.fused", "layers.ffn.fused")
    tensor_names: ClassVar[Mapping[str, Any]] = {"ffn_up": "mlp.gate_up_proj"}
    default_norm_eps = 1e-5
    default_context = 4096
    has_windows = True
    rotates_a_part = True
    hf_class = "Phi3ForCausalLM"
    # Older names of the same scaling.
    rope_kinds: ClassVar[Mapping[str, str]] = {**Family.rope_kinds, "su": "longrope", "yarn": "longrope"}

    def gguf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """The original context, and the window (0 is none)."""
        return {
            "rope.scaling.original_context_length": _original_context(config),
            "attention.sliding_window": rotating_layer(config).mixer.window or 0,
        }

    def hf_layers(self, document: Mapping[str, Any], layer: Layer, num_layers: int) -> tuple[Layer, ...]:
        """Joined, and with the window."""
        mixer = {"fused": True, "window": document.get("sliding_window")}
        return (changed(layer, mixer=mixer, ffn={"fused": True}),) * num_layers

    def hf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """The original context and the window."""
        window = config.layers[0].mixer.window
        return {"original_max_position_embeddings": _original_context(config), "sliding_window": window}


def _original_context(config: DecoderConfig) -> int:
    """The original context of a model without scaling is its context."""
    rope = rotating_layer(config).mixer.rope
    scaling = rope.scaling if rope else None
    return (scaling and scaling.original_context) or config.context_length
