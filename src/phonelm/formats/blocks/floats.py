"""The numbers of a block: float16 scales, their reciprocals, and levels packed into bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_LARGEST_HALF = 65504.0


def half(numbers: Floats, name: str) -> Bytes:
    """The bytes of float16 [..., n], uint8 [..., 2 n]. Raises `ValueError` for what is not finite in it."""
    with np.errstate(over="ignore", invalid="ignore"):
        halves = np.ascontiguousarray(numbers).astype(np.float16)
    require_finite(halves, name)
    return halves.view(np.uint8)


def single(halves: Bytes) -> Floats:
    """The float16 numbers in uint8 [..., 2 n], widened: [..., n]."""
    return np.ascontiguousarray(halves).view(np.float16).astype(np.float32)


def reciprocal(scale: Floats) -> Floats:
    """1 / scale, and 0 where that is not finite."""
    # A scale so small that its reciprocal overflows is zero in float16 too: its block is all zero.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        inverse = np.float32(1) / scale
    inverse[~np.isfinite(inverse)] = 0
    return inverse


def require_finite(values: NDArray[Any], name: str) -> None:
    """Raise `ValueError` where a number is NaN or infinite."""
    if not np.isfinite(values).all():
        raise ValueError(f"holds numbers that are not finite in {name} (NaN, infinite or too large)")


def require_within(values: Floats, levels: int, name: str) -> None:
    """Raise `ValueError` unless all numbers are at most `levels` times the largest of float16.

    Beyond that the sums of a least-squares fit may overflow too.
    """
    if values.size and not np.abs(values).max() <= levels * _LARGEST_HALF:
        require_finite(np.array(np.inf), name)


def pack_bits(levels: Bytes, bits: int) -> Bytes:
    """Pack levels [..., 8 / bits, n] of some bits each into [..., n]; the first in the lowest bits."""
    packed = levels[..., 0, :].copy()
    for place in range(1, 8 // bits):
        packed |= levels[..., place, :] << np.uint8(bits * place)
    return packed


def unpack_bits(packed: Bytes, bits: int) -> Bytes:
    """The levels that `pack_bits` packed: [..., n] to [..., 8 / bits, n]."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)[:, None]
    return (packed[..., None, :] >> shifts) & np.uint8((1 << bits) - 1)
