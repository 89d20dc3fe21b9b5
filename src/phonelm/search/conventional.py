"""The conventional answers to a budget: published shapes scaled to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from phonelm.search.shapes import ACTIVATIONS, Shapes, total_by_width
from phonelm.search.space_config import BLOCK


@dataclass(frozen=True)
class Family:
    """What stays of a published shape when it is scaled, and what the FFN's width takes up."""

    name: str
    kept: str
    """In words, for a report."""
    group: int
    """Query heads a KV head."""
    gated: bool
    activation: str
    ffn_ratio: float
    """Of the published shape; the scaled one's lies within a quarter of it."""
    distance: Callable[[int, int], float]
    """How far (hidden, layers) lies from what is kept."""


def _aspect(of: float) -> Callable[[int, int], float]:
    return lambda hidden, layers: abs(math.log(hidden / layers / of))


def _depth(of: int) -> Callable[[int, int], float]:
    # It matters more than the size of the heads.
    return lambda _hidden, layers: 4 * abs(math.log(layers / of))


FAMILIES = (
    # SmolLM2-135M: 30 layers of 576, 9 heads of 64 with 3 KV heads, gated SiLU FFN of 1536.
    Family("SmolLM2-135M", "width over depth, 3 query heads a KV head, gated SiLU FFN",
           3, True, "silu", 1536 / 576, _aspect(576 / 30)),
    # MobileLLM-125M (arXiv:2402.14905, table 10): the same sizes; its point is the depth.
    Family("MobileLLM-125M", "30 layers (or as near as fits), 3 query heads a KV head, gated SiLU FFN",
           3, True, "silu", 1536 / 576, _depth(30)),
    # OPT-125M (arXiv:2205.01068, table 1): 12 layers of 768, 12 heads of 64, ReLU FFN of 3072.
    Family("OPT-125M", "width over depth, multi-head attention, plain ReLU FFN of four times the width; its "
           "learned positions, LayerNorms and biases are not: the runtime's cost tables are for RoPE and "
           "RMSNorm", 1, False, "relu", 4.0, _aspect(768 / 12)),
)  # fmt: skip

_LAYERS = range(2, 129)
_HALF_HEADS = math.log(1.5)
"""Heads of half the size are as far from the published shape as proportions half as large again."""
KEPT = {family.name: family.kept for family in FAMILIES}


def conventional_shapes(vocab_size: int, params: int, tolerance: float) -> dict[str, Shapes]:
    """Each family scaled to `params` total parameters, by name; without those that do not fit."""
    found = {family.name: scaled(family, vocab_size, params, tolerance) for family in FAMILIES}
    return {name: shapes for name, shapes in found.items() if shapes is not None}


def scaled(family: Family, vocab_size: int, params: int, tolerance: float) -> Shapes | None:
    """The shape of a family nearest to its published one with `params` ± `tolerance`, or None.

    Heads are of 64, or of 32 where that keeps much more of the rest; embeddings are tied; the FFN's width
    takes up what is over.
    """
    fitting = [
        (distance + penalty, shape)
        for head_dim, penalty in ((64, 0.0), (32, _HALF_HEADS))
        for distance, shape in _fitting(family, vocab_size, params, tolerance, head_dim)
    ]
    return _shapes(vocab_size, min(fitting)[1], family) if fitting else None


def _fitting(
    family: Family, vocab_size: int, params: int, tolerance: float, head_dim: int
) -> Iterator[tuple[float, tuple[int, ...]]]:
    """Distances from the published proportions and shapes within the budget."""
    for kv_heads in range(1, 65):
        hidden = head_dim * family.group * kv_heads
        widths = _ffn_widths(family, vocab_size, params, (hidden, head_dim, kv_heads))
        for layers, width in zip(_LAYERS, widths, strict=True):
            distance = family.distance(hidden, layers)
            ratio = width / hidden / family.ffn_ratio
            if hidden % BLOCK or not 0.8 <= ratio <= 1.25:
                continue
            shape = (hidden, layers, head_dim, family.group * kv_heads, kv_heads, width)
            total = int(_shapes(vocab_size, shape, family).total[0])
            if abs(total - params) <= tolerance * params:
                yield distance + abs(math.log(ratio)), shape


def _ffn_widths(family: Family, vocab_size: int, params: int, sizes: tuple[int, int, int]) -> list[int]:
    """FFN widths in whole blocks that bring the total nearest to `params`, one for each of `_LAYERS`."""
    hidden, head_dim, kv_heads = sizes
    heads = (head_dim, family.group * kv_heads, kv_heads)
    others = (vocab_size, family.gated, True, hidden, np.array(_LAYERS, dtype=np.int64), *heads)
    fixed, slope = total_by_width(others)
    blocks = np.round((params - fixed) / slope / BLOCK)
    return (np.maximum(blocks, 0).astype(np.int64) * BLOCK).tolist()  # type: ignore[no-any-return]


def _shapes(vocab_size: int, shape: tuple[int, ...], family: Family) -> Shapes:
    activation = ACTIVATIONS.index(family.activation)
    kind = (np.array([family.gated]), np.array([activation], dtype=np.int8), np.array([True]))
    return Shapes(vocab_size, *kind, *(np.array([size], dtype=np.int32) for size in shape))
