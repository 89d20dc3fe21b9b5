"""Many shapes at once, as arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from phonelm.arch import ANY, DecoderConfig, Support

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
        hidden = self.hidden.astype(np.int64)
        attention = self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        ffn = np.where(self.gated, 3, 2) * self.intermediate
        return np.asarray(self.layers * hidden * (attention + ffn + 2) + hidden)

    @property
    def embedding(self) -> Array:
        """Parameters of the embedding, and of the output head where it is not tied."""
        return np.asarray(self.vocab_size * self.hidden.astype(np.int64) * np.where(self.tied, 1, 2))

    @property
    def total(self) -> Array:
        """All parameters."""
        return np.asarray(self.non_embedding + self.embedding)

    def config(self, index: int, context_length: int) -> DecoderConfig:
        """One shape as the type the rest of the project speaks."""
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
