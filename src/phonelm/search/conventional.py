"""The conventional answer to a budget: a deep and thin shape with grouped-query attention."""

from __future__ import annotations

import math

import numpy as np

from phonelm.search.space import BLOCK, Shapes

ASPECT = 576 / 30
"""Width over depth of MobileLLM-125M (arXiv:2402.14905, table 10) and SmolLM2-135M."""
FFN_RATIO = 1536 / 576
GROUP = 3


def deep_and_thin(vocab_size: int, params: int, tolerance: float, *, gated: bool) -> Shapes | None:
    """MobileLLM-125M's and SmolLM2-135M's shape scaled to `params` total parameters, or None where none fits.

    Both have 30 layers of width 576, 9 heads of 64 with 3 KV heads, and a gated FFN of 1536. Kept: width over
    depth, query heads a KV head, head size (halved for small models); the FFN width takes up the rest.
    """
    best: tuple[float, tuple[int, ...]] | None = None
    for head_dim in (64, 32):
        for kv_heads in range(1, 65):
            hidden = head_dim * GROUP * kv_heads
            for layers in range(2, 129):
                width = _ffn_width(vocab_size, params, hidden, layers, head_dim, kv_heads, gated)
                ratio = width / hidden / (FFN_RATIO if gated else FFN_RATIO * 1.5)
                if not 0.8 <= ratio <= 1.25:
                    continue
                shape = (hidden, layers, head_dim, GROUP * kv_heads, kv_heads, width)
                total = int(_shapes(vocab_size, shape, gated).total[0])
                if abs(total - params) > tolerance * params:
                    continue
                distance = abs(math.log(hidden / layers / ASPECT)) + abs(math.log(ratio))
                if best is None or distance < best[0]:
                    best = (distance, shape)
        if best:
            break
    return _shapes(vocab_size, best[1], gated) if best else None


def _ffn_width(
    vocab_size: int, params: int, hidden: int, layers: int, head_dim: int, kv_heads: int, gated: bool
) -> int:
    """FFN width in whole blocks that brings the total nearest to `params`."""
    attention = 2 * hidden * head_dim * (GROUP + 1) * kv_heads
    rest = params - hidden * (vocab_size + 1) - layers * (attention + 2 * hidden)
    return max(round(rest / (layers * hidden * (3 if gated else 2)) / BLOCK), 0) * BLOCK


def _shapes(vocab_size: int, shape: tuple[int, ...], gated: bool) -> Shapes:
    kind = (np.array([gated]), np.array([0 if gated else 2], dtype=np.int8), np.array([True]))
    return Shapes(vocab_size, *kind, *(np.array([size], dtype=np.int32) for size in shape))
