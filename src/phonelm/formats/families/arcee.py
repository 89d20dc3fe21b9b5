"""Arcee's AFM: LLaMA with a plain squared ReLU."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phonelm.arch import Layer
from phonelm.formats.families.base import LINEAR_SCALINGS, Family, changed


class Arcee(Family):
    """An FFN without a gate."""

    architecture = "arcee"
    model_type = "arcee"
    features: ClassVar[Mapping[str, Any]] = {
        **LINEAR_SCALINGS,
        "layers.mixer.rope.scaling.kind": ("linear", "yarn", "factors"),
        "layers.ffn.gated": (False,),
        "layers.ffn.activation": ("relu2",),
    }
    interleaves_rows = True
    default_activation = "relu2"
    default_norm_eps = 1e-5
    hf_class = "ArceeForCausalLM"

    def hf_layers(self, document: Mapping[str, Any], layer: Layer, num_layers: int) -> tuple[Layer, ...]:
        """No gate."""
        return (changed(layer, ffn={"gated": False}),) * num_layers
