"""PhoneLM (arXiv 2411.05046), and every decoder of the runtime that llama.cpp has no name for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phonelm.arch import ANY, DecoderConfig, Layer, Norm, Rope
from phonelm.arch.attention import AttentionBias
from phonelm.arch.rope import RopeTable
from phonelm.formats.families.base import Family, changed, rotating_layer

ROPE_TABLES = ("int8_per_call", "int8", "float")
"""Of config.json: as the published checkpoints, which is the default; with a fixed scale; not rounded."""
NORMS = ("rmsnorm", "layernorm")


class PhoneLM(Family):
    """Activation, gate, table of RoPE and the kind of norm are keys."""

    architecture = "phonelm"
    model_type = "phonelm"
    features: ClassVar[Mapping[str, Any]] = {
        "layers.norm.kind": NORMS,
        "norm.kind": NORMS,
        "layers.ffn.gated": ANY,
        "layers.ffn.activation": ("relu", "relu2"),
        "layers.mixer.rope.table": ANY,
    }
    default_activation = "relu"
    tied_by_default = True
    rope_kinds: ClassVar[Mapping[str, str]] = {}
    hf_class = "PhoneLMForCausalLM"

    def gguf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """Its activation, gate and table."""
        layer = rotating_layer(config)
        return {
            "hidden_activation": layer.ffn.activation,
            "ffn_gated": layer.ffn.gated,
            "rope.table": (layer.mixer.rope or Rope()).table,
        }

    def hf_norm(self, document: Mapping[str, Any]) -> Norm:
        """`norm_kind`."""
        kind = document.get("norm_kind", NORMS[0])
        if kind not in NORMS:
            raise ValueError(f"norm_kind {kind!r} is not known; use one of {', '.join(NORMS)}")
        return Norm(kind=kind, eps=super().hf_norm(document).eps)

    def hf_layers(self, document: Mapping[str, Any], layer: Layer, num_layers: int) -> tuple[Layer, ...]:
        """`ffn_gated` and `rope_table`."""
        ffn = {"gated": bool(document.get("ffn_gated", True))}
        rope = layer.mixer.rope and {**dict(layer.mixer.rope), "table": _rope_table(document)}
        return (changed(layer, ffn=ffn, mixer={"rope": rope}),) * num_layers

    def hf_biases(self, document: Mapping[str, Any]) -> tuple[AttentionBias, bool]:
        """None."""
        for name in ("attention_bias", "mlp_bias"):
            if document.get(name):
                raise ValueError(f"config.json sets {name}, which the runtime does not support")
        return "none", False

    def hf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """Gate, table and norm."""
        keys = self.gguf_keys(config)
        return {
            "ffn_gated": keys["ffn_gated"],
            "rope_table": keys["rope.table"],
            "norm_kind": config.norm.kind,
        }


def _rope_table(document: Mapping[str, Any]) -> RopeTable:
    table = document.get("rope_table", ROPE_TABLES[0])
    if table not in ROPE_TABLES:
        raise ValueError(f"rope_table {table!r} is not known; use one of {', '.join(ROPE_TABLES)}")
    return "float" if table == "float" else "int8"
