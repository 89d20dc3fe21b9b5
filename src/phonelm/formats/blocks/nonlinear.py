"""IQ4_NL: 32 columns with one scale and 16 levels that lie closer together around zero.

Levels: `kvalues_iq4nl` in ggml-common.h of llama.cpp.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phonelm.formats.blocks.floats import (
    Bytes,
    Floats,
    half,
    pack_bits,
    reciprocal,
    require_within,
    single,
    unpack_bits,
)
from phonelm.formats.blocks.scale_search import symmetric_scale

_LEVELS = np.array(
    [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113], np.float32
)  # fmt: skip
_HALVES = np.arange(-256, 256)
# Of each half step its nearest level: all borders between levels are multiples of one half.
_NEAREST = np.abs(_LEVELS - (_HALVES[:, None] / 2 + 0.25)).argmin(axis=1).astype(np.uint8)
_ROUNDED = _LEVELS[_NEAREST]


def encode_iq4_nl(blocks: Floats, out: Bytes) -> None:
    """Find the scale by least squares, weights x^2, then the nearest level of each number."""
    require_within(blocks, 127, "IQ4_NL")
    groups = np.ascontiguousarray(blocks.T)
    ends = [float(_LEVELS[0]) + place for place in range(-7, 8)] + [-float(_LEVELS[0])]
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        scale = symmetric_scale(groups, lambda numbers: _ROUNDED[_half_steps(numbers)], ends)
    out[:, :2] = half(scale[:, None], "IQ4_NL")
    numbers = blocks * reciprocal(single(out[:, :2]))
    out[:, 2:] = pack_bits(_NEAREST[_half_steps(numbers)].reshape(-1, 2, 16), 4)


def decode_iq4_nl(blocks: Bytes) -> Floats:
    """The weights, [blocks, 32]."""
    return _LEVELS[unpack_bits(blocks[:, 2:], 4).reshape(-1, 32)] * single(blocks[:, :2])


def _half_steps(numbers: Floats) -> NDArray[np.int16]:
    """The places of numbers in `_HALVES`; in place."""
    np.floor(np.multiply(numbers, np.float32(2), out=numbers), out=numbers)
    np.clip(numbers, np.float32(-256), np.float32(255), out=numbers)
    numbers += np.float32(256)
    return numbers.astype(np.int16)
