"""Which decoders have a name among GGUF's architectures, and what the name alone says about them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from phonelm.arch import DecoderConfig, Layer
from phonelm.arch.ffn import Activation

FfnKind = Literal["gated", "plain"]

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
    values = _values(config)
    for key, allowed in {**_PLAIN, **kind.allowed()}.items():
        if values[key] not in allowed:
            yield f"{key} = {values[key]}"
    if name == "phonelm" and values["activation"] not in ("relu", "relu2", "silu"):
        yield f"activation = {values['activation']}"
    if values["rope_scaling"] not in kind.scalings:
        yield f"rope_scaling = {values['rope_scaling']}"
    if len({layer.mixer.window for layer in config.layers} - {None}) > 1:
        yield "different windows"
    if not all(_rotates_alike(layer, rotating_layer(config)) for layer in dict.fromkeys(config.layers)):
        yield "different ropes"
    if name == "smollm3" and values["rope_layers"] != smollm3_rope_layers(config.num_layers):
        yield "these rope_layers; all but every fourth must rotate"


def rotating_layer(config: DecoderConfig) -> Layer:
    """The first layer that rotates, without a window where there is one; or the first."""
    rotating = [layer for layer in config.layers if layer.mixer.rope is not None]
    return next((layer for layer in rotating if layer.mixer.window is None), [*rotating, config.layers[0]][0])


def _values(config: DecoderConfig) -> dict[str, Any]:
    """The features that the tables above name."""
    layers, first = config.layers, rotating_layer(config)
    mixer, ffn, rope, embedding = first.mixer, first.ffn, first.mixer.rope, config.embedding
    biases = {"none": ("none", "ffn"), "qkv": ("qkv", "qkv and ffn"), "all": ("attention", "all")}
    rotates = tuple(layer.mixer.rope is not None for layer in layers)
    windows = tuple(layer.mixer.window is not None for layer in layers)
    thetas = {layer.mixer.rope.theta for layer in layers if layer.mixer.rope and layer.mixer.window}
    # Where no layer rotates it is a matter of `rope_layers`.
    position = "alibi" if mixer.alibi else "rope"
    return {
        "norm": first.norm.kind if first.norm == config.norm else f"{config.norm} outside the layers",
        "position": "learned" if embedding.learned_positions else position,
        "rope_interleaved": bool(rope and rope.interleaved),
        "parallel_residual": first.residual.parallel,
        "embedding_norm": embedding.norm,
        "embedding_size": embedding.size,
        "final_norm": config.head.norm,
        "shared_ffn": config.shared_ffn,
        "head_bias": config.head.bias,
        "is_uniform": len({_same_in_all(layer) for layer in dict.fromkeys(layers)}) == 1,
        "bias": biases[mixer.bias][ffn.bias],
        "qk_norm": mixer.qk_norm,
        "fused_projections": mixer.fused if ffn.fused == mixer.fused else "in part",
        "post_norm": first.residual.post_norm,
        "scale_embedding": embedding.scaled,
        "rope_fraction": rope.fraction if rope else 1.0,
        "rope_layers": None if all(rotates) else rotates,
        "sliding_window": next((layer.mixer.window for layer in layers if layer.mixer.window), None),
        "sliding_layers": None if all(windows) or not any(windows) else windows,
        "sliding_rope_theta": None if not rope or thetas <= {rope.theta} else max(thetas),
        "attention_scale": mixer.scale,
        "activation": ffn.activation,
        "ffn": "gated" if ffn.gated else "plain",
        "rope_table": rope.table if rope else "float",
        "rope_scaling": rope.scaling.kind if rope and rope.scaling else None,
    }


def _rotates_alike(layer: Layer, first: Layer) -> bool:
    """Whether a layer rotates as the first one does, or with a window by a base of its own, not scaled."""
    rope, other = layer.mixer.rope, first.mixer.rope
    if rope is None or other is None or rope == other:
        return True
    of_window = other.model_copy(update={"theta": rope.theta, "scaling": None})
    return layer.mixer.window is not None and rope == of_window


def _same_in_all(layer: Layer) -> Layer:
    """The layer without what may differ between layers."""
    return layer.model_copy(update={"mixer": layer.mixer.model_copy(update={"rope": None, "window": None})})


def _nearest(config: DecoderConfig) -> str:
    """The architecture whose mark a decoder bears."""
    values = _values(config)
    if values["activation"] == "gelu_tanh" and values["post_norm"]:
        return "gemma3"
    if values["fused_projections"]:
        return "phi3"
    if values["rope_table"] == "int8" or values["activation"] == "relu":
        return "phonelm"
    if values["ffn"] == "plain":
        return "arcee" if values["activation"] == "relu2" else "phonelm"
    if values["activation"] != "silu":
        return "phonelm"
    if values["rope_layers"] is not None:
        return "smollm3"
    if values["qk_norm"] == "head":
        return "qwen3"
    return "qwen2" if values["bias"] == "qkv" else "llama"


def smollm3_rope_layers(num_layers: int, interval: int = 4) -> tuple[bool, ...]:
    """Every fourth layer does not rotate; llama.cpp has the number in its code, not in the file."""
    return tuple((layer + 1) % interval != 0 for layer in range(num_layers))


def gemma3_sliding_layers(num_layers: int, period: int = 6) -> tuple[bool, ...]:
    """All but the last layer of each period have the window."""
    return tuple(layer % period < period - 1 for layer in range(num_layers))


def gemma3_attention_scale(num_layers: int, hidden_size: int, num_heads: int, head_dim: int) -> float:
    """The scale that files imply: of the head's size, but for the model of 62 layers (27B)."""
    return float((hidden_size // num_heads if num_layers == 62 else head_dim) ** -0.5)
