"""All members of a space under a parameter budget, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np

from phonelm.search.shapes import ACTIVATIONS, Array, Shapes, shapes_of, total_by_width
from phonelm.search.space_config import Range, SpaceConfig

__all__ = ["Range", "Shapes", "SpaceConfig", "enumerate_shapes", "shapes_of"]


def enumerate_shapes(space: SpaceConfig, vocab_size: int, params: int, tolerance: float) -> Shapes:
    """All shapes of the space whose total parameter count is within `tolerance` (a share) of `params`.

    Raises `ValueError` naming the nearest parameter count when there is none.
    """
    parts: list[Shapes] = []
    nearest: list[int] = []
    for kind in _kinds(space):
        shapes, totals = _members(space, kind, vocab_size, params, tolerance)
        parts += shapes
        nearest += totals
    if not parts:
        close = f"{min(nearest, key=lambda total: abs(total - params)):,}" if nearest else "nothing"
        raise ValueError(
            f"no shape of the space has {params:,} parameters ± {tolerance:.0%} with a vocabulary of "
            f"{vocab_size:,}; the nearest has {close}: change `params`, `vocab_size` or the space"
        )
    return _join(parts)


@dataclass(frozen=True)
class _Kind:
    gated: bool
    activation: int
    tied: bool
    hidden: int


def _kinds(space: SpaceConfig) -> Iterator[_Kind]:
    for name in dict.fromkeys(space.ffn):
        kind, activation = name.split()
        for tied in sorted(set(space.tied), reverse=True):
            for hidden in space.hidden.values():
                yield _Kind(kind == "gated", ACTIVATIONS.index(activation), tied, hidden)


def _members(
    space: SpaceConfig, kind: _Kind, vocab_size: int, params: int, tolerance: float
) -> tuple[list[Shapes], list[int]]:
    """The shapes of one kind within the budget, and the total nearest to it: none or one of each.

    Total parameters are linear in the FFN's width, so its bounds follow from those of the total.
    """
    hidden, step = kind.hidden, space.ffn_step
    low, high = space.ffn_bounds(hidden)
    head_dim, heads, kv_heads, layers = _attention_and_layers(space, hidden)
    if low > high or not len(heads):
        return [], []
    others = (vocab_size, kind.gated, kind.tied, hidden, layers, head_dim, heads, kv_heads)
    fixed, slope = total_by_width(others)
    first = np.maximum(-((fixed - params * (1 - tolerance)) // slope), low)
    first = np.ceil(first / step).astype(np.int64) * step
    last = np.minimum((params * (1 + tolerance) - fixed) // slope, high).astype(np.int64) // step * step
    count = np.maximum((last - first) // step + 1, 0)
    which = np.repeat(np.arange(len(count)), count)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    sizes = (layers[which], head_dim[which], heads[which], kv_heads[which], first[which] + nth * step)
    nearest = _nearest_total(fixed, slope, (low, high, step), params)
    return ([_shapes(vocab_size, kind, sizes)] if len(which) else []), [nearest]


def _shapes(vocab_size: int, kind: _Kind, sizes: tuple[Array, ...]) -> Shapes:
    num = len(sizes[0])
    return Shapes(
        vocab_size,
        np.full(num, kind.gated),
        np.full(num, kind.activation, dtype=np.int8),
        np.full(num, kind.tied),
        np.full(num, kind.hidden, dtype=np.int32),
        *(size.astype(np.int32) for size in sizes),
    )


def _attention_and_layers(space: SpaceConfig, hidden: int) -> tuple[Array, Array, Array, Array]:
    """Every (head_dim, heads, kv_heads) allowed at this width, with every number of layers (int64 arrays)."""
    heads = space.heads_at(hidden)
    layers = np.array(space.layers.values(), dtype=np.int64)
    table = np.array(heads, dtype=np.int64).reshape(-1, 3).repeat(len(layers), axis=0)
    return table[:, 0], table[:, 1], table[:, 2], np.tile(layers, len(heads))


def _nearest_total(fixed: Array, slope: Array, widths: tuple[int, int, int], params: int) -> int:
    """Total parameters of the allowed shape nearest to `params`."""
    low, high, step = widths
    width = np.clip(np.round((params - fixed) / slope / step) * step, low, high)
    totals = fixed + slope * width
    return int(totals[np.argmin(np.abs(totals - params))])


def _join(parts: list[Shapes]) -> Shapes:
    names = [f.name for f in fields(Shapes)[1:]]
    return Shapes(parts[0].vocab_size, **{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
