"""Qwen 2 and 2.5: LLaMA with biases of queries, keys and values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phonelm.arch.attention import AttentionBias
from phonelm.formats.families.base import LINEAR_SCALINGS, Family


class Qwen2(Family):
    """Rows of q and k as Hugging Face has them."""

    architecture = "qwen2"
    model_type = "qwen2"
    features: ClassVar[Mapping[str, Any]] = {**LINEAR_SCALINGS, "layers.mixer.bias": ("qkv",)}
    default_context = 32768
    hf_class = "Qwen2ForCausalLM"

    def hf_biases(self, document: Mapping[str, Any]) -> tuple[AttentionBias, bool]:
        """No key tells of them."""
        return "qkv", False
