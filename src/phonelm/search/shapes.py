"""Many shapes at once, as arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable
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
    Support,
    count_parameters,
    kv_bytes_per_token,
    weight_bytes,
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
        return self._by_kind(lambda kind, layers: count_parameters(kind, layers).non_embedding)

    @property
    def embedding(self) -> Array:
        """Parameters of the embedding, and of the output head where it is not tied."""
        return self._by_kind(lambda kind, layers: count_parameters(kind, layers).embedding)

    @property
    def total(self) -> Array:
        """All parameters."""
        return self._by_kind(lambda kind, layers: count_parameters(kind, layers).total)

    def weight_bytes(self, block_type: str, embedding_type: str) -> Array:
        """Bytes of the quantized weights, as `arch.weight_bytes`."""
        return self._by_kind(lambda kind, layers: weight_bytes(kind, block_type, embedding_type, layers))

    @property
    def attention_parameters(self) -> Array:
        """Parameters of one layer's attention."""
        return self._by_kind(
            lambda kind, _: sum(t.size for t in kind.layers[0].mixer.tensors(kind.hidden_size, kind.norm))
        )

    @property
    def ffn_parameters(self) -> Array:
        """Parameters of one layer's FFN."""
        return self._by_kind(
            lambda kind, _: sum(t.size for t in kind.layers[0].ffn.tensors(kind.hidden_size))
        )

    @property
    def kv_bytes_per_token(self) -> Array:
        """Bytes of a token's keys and values in float16."""
        return self._by_kind(lambda kind, layers: kv_bytes_per_token(kind, "f16", layers))

    def _by_kind(self, formula: Callable[[DecoderConfig, tuple[Array]], Any]) -> Array:
        """A formula's results, int64 [shapes]: shapes of one kind are one decoder whose sizes are arrays."""
        results = np.empty(len(self), dtype=np.int64)
        for gated, tied in itertools.product((False, True), repeat=2):
            which = np.flatnonzero((self.gated == gated) & (self.tied == tied))
            if len(which):
                sizes = (getattr(self, f.name)[which].astype(np.int64) for f in fields(self)[4:])
                results[which] = formula(*kind_of(self.vocab_size, gated, tied, *sizes))
        return results

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


def kind_of(
    vocab_size: int,
    gated: bool,
    tied: bool,
    hidden: Any,
    layers: Any,
    head_dim: Any,
    heads: Any,
    kv_heads: Any,
    intermediate: Any,
) -> tuple[DecoderConfig, tuple[Any]]:
    """Shapes of one kind as a decoder of one layer, and how often it repeats; sizes may be int64 arrays."""
    layer = layer_of(gated, head_dim, heads, kv_heads, intermediate)
    config = DecoderConfig.model_construct(
        vocab_size=vocab_size, hidden_size=hidden, layers=(layer,), head=Head(tied=tied)
    )
    return config, (layers,)


def total_by_width(kind: tuple[int, bool, bool, Any, Any, Any, Any, Any]) -> tuple[Array, Array]:
    """Total parameters without neurons of the FFN, and what one adds; `kind` is `kind_of`'s but for them."""
    without, with_one = (np.asarray(count_parameters(*kind_of(*kind, width)).total) for width in (0, 1))
    return without, with_one - without


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
