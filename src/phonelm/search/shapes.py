"""Many shapes at once, as arrays."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from phonelm.arch import (
    ANY,
    Attention,
    DecoderConfig,
    Ffn,
    Head,
    Layer,
    ParameterCount,
    Support,
    count_parameters,
)

Array = npt.NDArray[Any]
FfnKind = Literal["gated", "plain"]
ACTIVATIONS = ("silu", "relu", "relu2")


@dataclass(frozen=True)
class Shapes:
    """Many shapes of one vocabulary as arrays of equal length."""

    vocab_size: int
    gated: Array
    activation: Array
    """0 silu, 1 relu, 2 relu2."""
    tied: Array
    hidden: Array
    layers: Array
    head_dim: Array
    heads: Array
    kv_heads: Array
    intermediate: Array

    def __len__(self) -> int:
        return len(self.hidden)

    def take(self, which: Any) -> Shapes:
        """The shapes at an index array, mask or slice."""
        return Shapes(self.vocab_size, *(getattr(self, f.name)[which] for f in fields(self)[1:]))

    @property
    def non_embedding(self) -> Array:
        """Parameters of the blocks and the final norm."""
        return self.total - self.embedding

    @property
    def embedding(self) -> Array:
        """Parameters of the embedding, and of the output head where it is not tied."""
        return self._counted("embedding")

    @property
    def total(self) -> Array:
        """All parameters."""
        return self._counted("total")

    def _counted(self, name: str) -> Array:
        """A number of `ParameterCount`, int64 [shapes]: shapes of one kind are counted together."""
        counts = np.empty(len(self), dtype=np.int64)
        for gated, tied in itertools.product((False, True), repeat=2):
            which = np.flatnonzero((self.gated == gated) & (self.tied == tied))
            if len(which):
                sizes = (getattr(self, f.name)[which].astype(np.int64) for f in fields(self)[4:])
                counts[which] = getattr(count_kind(self.vocab_size, gated, tied, *sizes), name)
        return counts

    def config(self, index: int, context_length: int) -> DecoderConfig:
        """One shape as a `DecoderConfig`."""
        return DecoderConfig.model_validate(
            {
                "vocab_size": self.vocab_size,
                "hidden_size": int(self.hidden[index]),
                "num_layers": int(self.layers[index]),
                "num_heads": int(self.heads[index]),
                "num_kv_heads": int(self.kv_heads[index]),
                "head_dim": int(self.head_dim[index]),
                "intermediate_size": int(self.intermediate[index]),
                "ffn": "gated" if self.gated[index] else "plain",
                "activation": ACTIVATIONS[int(self.activation[index])],
                "tie_embeddings": bool(self.tied[index]),
                "context_length": context_length,
            }
        )


def count_kind(
    vocab_size: int,
    gated: bool,
    tied: bool,
    hidden: Any,
    layers: Any,
    head_dim: Any,
    heads: Any,
    kv_heads: Any,
    intermediate: Any,
) -> ParameterCount:
    """Parameters of shapes of one kind; sizes are numbers or int64 arrays."""
    layer = layer_of(gated, head_dim, heads, kv_heads, intermediate)
    config = DecoderConfig.model_construct(
        vocab_size=vocab_size, hidden_size=hidden, layers=(layer,), head=Head(tied=tied)
    )
    return count_parameters(config, (layers,))


def layer_of(gated: bool, head_dim: Any, heads: Any, kv_heads: Any, intermediate: Any) -> Layer:
    """The layer of shapes of one kind, whose sizes may be arrays."""
    mixer = Attention.model_construct(num_heads=heads, num_kv_heads=kv_heads, head_dim=head_dim)
    ffn = Ffn.model_construct(intermediate_size=intermediate, gated=gated)
    return Layer.model_construct(mixer=mixer, ffn=ffn)


_SUPPORT = Support(
    "the space of the search",
    {
        "layers.ffn.gated": ANY,
        "layers.ffn.activation": ACTIVATIONS,
        "head.tied": ANY,
        # They cost nothing.
        "layers.norm.eps": ANY,
        "norm.eps": ANY,
        "layers.mixer.rope.theta": ANY,
        "layers.mixer.rope.table": ANY,
    },
)


def shapes_of(config: DecoderConfig) -> Shapes:
    """One decoder as `Shapes` of length 1.

    Raises `ValueError` naming a feature that shapes do not describe and the cost tables do not price.
    """
    _SUPPORT.refuse(config)
    mixer, ffn = config.layers[0].mixer, config.layers[0].ffn
    sizes = (
        config.hidden_size,
        config.num_layers,
        mixer.head_dim,
        mixer.num_heads,
        mixer.num_kv_heads,
        ffn.intermediate_size,
    )
    return Shapes(
        config.vocab_size,
        np.array([ffn.gated]),
        np.array([ACTIVATIONS.index(ffn.activation)], dtype=np.int8),
        np.array([config.head.tied]),
        *(np.array([size], dtype=np.int32) for size in sizes),
    )
