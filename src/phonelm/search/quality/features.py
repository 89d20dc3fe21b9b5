"""What the predictor of quality sees of a shape."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.search.space import Shapes

Array = npt.NDArray[Any]

FEATURES = (
    "aspect",
    "ffn share",
    "attention width",
    "query heads a KV head",
    "head size",
    "gated silu",
    "plain relu2",
)
"""Logarithms to base 2 of hidden / layers, FFN over attention parameters, heads x head size / hidden,
heads / KV heads, head size; and 1 for the kinds of FFN, of which gated ReLU is the one without a mark."""


def features(shapes: Shapes) -> Array:
    """The columns of `FEATURES`, float32 [shapes, features]: none depends on the size of the model."""
    out = np.empty((len(shapes), len(FEATURES)), dtype=np.float32)
    ratios: tuple[tuple[Any, Any], ...] = (
        (shapes.hidden, shapes.layers),
        (shapes.ffn_parameters, shapes.attention_parameters),
        (shapes.heads * shapes.head_dim, shapes.hidden),
        (shapes.heads, shapes.kv_heads),
        (shapes.head_dim, 1),
    )
    for column, (over, under) in enumerate(ratios):
        out[:, column] = np.log2(np.divide(over, under, dtype=np.float32))
    out[:, 5] = np.asarray(shapes.activation) == 0
    out[:, 6] = ~np.asarray(shapes.gated, dtype=bool)
    return out
