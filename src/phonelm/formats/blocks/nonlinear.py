"""IQ4_NL: 32 columns with one scale and 16 levels that lie closer together around zero.

Levels: `kvalues_iq4nl` in ggml-common.h of llama.cpp.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phonelm.formats.blocks.floats import (
    Bytes,
    Floats,
    pack_bits,
    single,
    unpack_bits,
)
from phonelm.formats.blocks.grids import Grid, GridType

_LEVELS = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)  # fmt: skip
_ENDS = (*(-127.0 + place for place in range(-7, 8)), 127.0)
_HALVES = np.arange(-256, 256)
# Of each half step its nearest level: all borders between levels are multiples of one half.
_NEAREST = np.abs(_LEVELS - (_HALVES[:, None] / 2 + 0.25)).argmin(axis=1).astype(np.uint8)
_ROUNDED = _LEVELS[_NEAREST]


def encode_iq4_nl(blocks: Floats, out: Bytes) -> None:
    """Find the scale by least squares, weights x^2, then the nearest level of each number."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        grid = IQ4_NL.fit(blocks, np.square(blocks))
        IQ4_NL.encode(IQ4_NL.round(blocks, grid), grid, out)


def decode_iq4_nl(blocks: Bytes) -> Floats:
    """The weights, [blocks, 32]."""
    return _LEVELS[unpack_bits(blocks[:, 2:], 4).reshape(-1, 32)] * single(blocks[:, :2])


def _round(numbers: Floats) -> Floats:
    rounded: Floats = _ROUNDED[_half_steps(numbers)]
    return rounded


def _pack(grid: Grid, levels: Bytes, out: Bytes) -> None:
    (out[:, :2],) = grid.stored
    places = np.searchsorted(_LEVELS - _LEVELS[0], levels).astype(np.uint8)
    out[:, 2:] = pack_bits(places.reshape(-1, 2, 16), 4)


def _half_steps(numbers: Floats) -> NDArray[np.int16]:
    """The places of numbers in `_HALVES`; in place."""
    np.floor(np.multiply(numbers, np.float32(2), out=numbers), out=numbers)
    np.clip(numbers, np.float32(-256), np.float32(255), out=numbers)
    numbers += np.float32(256)
    return numbers.astype(np.int16)


IQ4_NL = GridType("IQ4_NL", 32, 32, -127, 113, _ENDS, _pack, rounding=_round)
