"""SmolLM3: LLaMA, some of whose layers do not rotate queries and keys (NoPE, arXiv 2501.18795)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from phonelm.arch import DecoderConfig, Layer
from phonelm.formats.families.base import LINEAR_SCALINGS, Family, changed


class SmolLM3(Family):
    """GGUF has no key for which layers rotate; the core knows those of the published models."""

    architecture = "smollm3"
    model_type = "smollm3"
    features: ClassVar[Mapping[str, Any]] = {**LINEAR_SCALINGS, "layers.mixer.rope": (None,)}
    varying = ("rope",)
    interleaves_rows = True
    default_theta = 2e6
    default_context = 32768
    tied_by_default = True
    hf_class = "SmolLM3ForCausalLM"

    def hf_layers(self, document: Mapping[str, Any], layer: Layer, num_layers: int) -> tuple[Layer, ...]:
        """`no_rope_layers` is 1 where a layer rotates; without it, all but every fourth do."""
        interval = document.get("no_rope_layer_interval", 4)
        rotates = document.get("no_rope_layers") or [(index + 1) % interval for index in range(num_layers)]
        if len(rotates) != num_layers:
            raise ValueError(f"config.json has {len(rotates)} no_rope_layers for {num_layers} layers")
        still = changed(layer, mixer={"rope": None})
        return tuple(layer if flag else still for flag in rotates)

    def hf_keys(self, config: DecoderConfig) -> dict[str, Any]:
        """Which layers rotate."""
        return {"no_rope_layers": [int(layer.mixer.rope is not None) for layer in config.layers]}
