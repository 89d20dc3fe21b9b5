"""LLaMA and all that have its layers: SmolLM, SmolLM2, TinyLlama, Llama 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phonelm.arch import ANY, DecoderConfig
from phonelm.formats.families.base import LINEAR_SCALINGS, Family


class Llama(Family):
    """Gated SiLU, RMSNorm, RoPE."""

    architecture = "llama"
    model_type = "llama"
    features: ClassVar[Mapping[str, Any]] = {
        **LINEAR_SCALINGS,
        "layers.mixer.rope.scaling.kind": ("linear", "yarn", "factors"),
        "layers.mixer.bias": ("all",),
        "layers.ffn.bias": ANY,
    }
    interleaves_rows = True
    hf_class = "LlamaForCausalLM"

    def hf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """The biases."""
        layer = config.layers[0]
        return {"attention_bias": layer.mixer.bias == "all", "mlp_bias": layer.ffn.bias}
