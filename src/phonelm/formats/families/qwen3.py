"""Qwen 3: a norm over each head of queries and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phonelm.arch import Layer
from phonelm.formats.families.base import LINEAR_SCALINGS, Family, changed


class Qwen3(Family):
    """Heads of a size of their own."""

    architecture = "qwen3"
    model_type = "qwen3"
    features: ClassVar[Mapping[str, Any]] = {
        **LINEAR_SCALINGS,
        "layers.mixer.qk_norm": ("head",),
        "layers.mixer.bias": ("qkv",),
    }
    default_context = 32768
    default_head_dim = 128
    hf_class = "Qwen3ForCausalLM"

    def hf_layers(self, document: Mapping[str, Any], layer: Layer, num_layers: int) -> tuple[Layer, ...]:
        """With a norm on queries and keys."""
        return (changed(layer, mixer={"qk_norm": "head"}),) * num_layers
