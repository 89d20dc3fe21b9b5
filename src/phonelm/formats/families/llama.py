"""LLaMA and all that have its layers: SmolLM, SmolLM2, TinyLlama, Llama 3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phonelm.arch import ANY
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
