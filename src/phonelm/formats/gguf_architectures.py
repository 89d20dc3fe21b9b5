"""Which decoders have a name among GGUF's architectures, and what the name alone says about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from phonelm.arch.config import Activation, DecoderConfig, FfnKind

PERMUTED_ARCHITECTURES = ("llama", "arcee", "smollm3")
"""Architectures whose q and k rows are stored for interleaved RoPE."""

_PLAIN: dict[str, tuple[Any, ...]] = {
    "norm": ("rmsnorm",),
    "position": ("rope",),
    "rope_interleaved": (False,),
    "parallel_residual": (False,),
    "embedding_norm": (False,),
    "embedding_size": (None,),
    "final_norm": (True,),
    "shared_ffn": (False,),
    "head_bias": (False,),
    "is_uniform": (True,),
}
"""What every decoder of the runtime has."""

_FEATURES = {
    "rope_fraction": 1.0,
    "rope_layers": None,
    "sliding_window": None,
    "sliding_layers": None,
    "sliding_rope_theta": None,
    "attention_scale": None,
}
"""What some decoders have, and what the others have instead."""

_SCALINGS = (None, "linear", "yarn")


@dataclass(frozen=True)
class Architecture:
    """What an architecture's name says, and what llama.cpp leaves open under it."""

    ffn: FfnKind = "gated"
    activation: Activation = "silu"
    qk_norm: str = "none"
    is_gemma: bool = False
    fused_projections: bool = False
    biases: tuple[str, ...] = ("none",)
    scalings: tuple[str | None, ...] = _SCALINGS
    features: tuple[str, ...] = ()
    """Those of `_FEATURES` that it may have."""

    def allowed(self) -> dict[str, tuple[Any, ...]]:
        """Fields and the values they may have."""
        return {
            "bias": self.biases,
            "qk_norm": (self.qk_norm,),
            "fused_projections": (self.fused_projections,),
            "post_norm": (self.is_gemma,),
            "scale_embedding": (self.is_gemma,),
            **{name: (value,) for name, value in _FEATURES.items() if name not in self.features},
        }


ARCHITECTURES = {
    "llama": Architecture(
        biases=("none", "attention", "ffn", "all"),
        scalings=(*_SCALINGS, "factors"),
    ),
    "arcee": Architecture(ffn="plain", activation="relu2", scalings=(*_SCALINGS, "factors")),
    "smollm3": Architecture(features=("rope_layers",)),
    "qwen2": Architecture(biases=("qkv",)),
    "qwen3": Architecture(qk_norm="head", biases=("none", "qkv")),
    "phi3": Architecture(
        fused_projections=True,
        scalings=(None, "longrope"),
        features=("rope_fraction", "sliding_window"),
    ),
    "gemma3": Architecture(
        activation="gelu_tanh",
        qk_norm="head",
        is_gemma=True,
        features=("sliding_window", "sliding_layers", "sliding_rope_theta", "attention_scale"),
    ),
}
_OWN = Architecture(scalings=(None,))


def gguf_architecture(config: DecoderConfig) -> str:
    """The `general.architecture` of a decoder; `ValueError` if the runtime cannot run it."""
    name = _nearest(config)
    for feature in lacking_features(config):
        # Which scalings there are depends on the architecture.
        kind = f"{name} " if feature.startswith("rope_scaling") else ""
        raise ValueError(f"the runtime has no {kind}decoders with {feature}")
    return name


def lacking_features(config: DecoderConfig) -> Iterator[str]:
    """Everything in a decoder that the runtime cannot run, as `field = value`."""
    name = _nearest(config)
    kind = ARCHITECTURES.get(name, _OWN)
    for key, allowed in {**_PLAIN, **kind.allowed()}.items():
        if getattr(config, key) not in allowed:
            yield f"{key} = {getattr(config, key)}"
    if name == "phonelm" and config.activation not in ("relu", "relu2", "silu"):
        yield f"activation = {config.activation}"
    if (scaling := config.rope_scaling.kind if config.rope_scaling else None) not in kind.scalings:
        yield f"rope_scaling = {scaling}"
    if name == "smollm3" and config.rope_layers != smollm3_rope_layers(config.num_layers):
        yield "these rope_layers; all but every fourth must rotate"


def _nearest(config: DecoderConfig) -> str:
    """The architecture whose mark a decoder bears."""
    if config.activation == "gelu_tanh" and config.post_norm:
        return "gemma3"
    if config.fused_projections:
        return "phi3"
    if config.rope_table == "int8" or config.activation == "relu":
        return "phonelm"
    if config.ffn == "plain":
        return "arcee" if config.activation == "relu2" else "phonelm"
    if config.activation != "silu":
        return "phonelm"
    if config.rope_layers is not None:
        return "smollm3"
    if config.qk_norm == "head":
        return "qwen3"
    return "qwen2" if config.bias == "qkv" else "llama"


def smollm3_rope_layers(num_layers: int, interval: int = 4) -> tuple[bool, ...]:
    """Every fourth layer does not rotate; llama.cpp has the number in its code, not in the file."""
    return tuple((layer + 1) % interval != 0 for layer in range(num_layers))


def gemma3_sliding_layers(num_layers: int, period: int = 6) -> tuple[bool, ...]:
    """All but the last layer of each period have the window."""
    return tuple(layer % period < period - 1 for layer in range(num_layers))


def gemma3_attention_scale(num_layers: int, hidden_size: int, num_heads: int, head_dim: int) -> float:
    """The scale that files imply: of the head's size, but for the model of 62 layers (27B)."""
    return float((hidden_size // num_heads if num_layers == 62 else head_dim) ** -0.5)
