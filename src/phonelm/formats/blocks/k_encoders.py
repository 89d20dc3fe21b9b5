"""Q2_K to Q6_K: 256 columns in groups of 16 or 32, whose scales are themselves quantized.

Layout of the blocks: ggml-common.h of llama.cpp. The format leaves open how scales are found; here by least
squares (`scale_search.py`), with weights that grow with a number's magnitude where none are given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phonelm.formats.blocks.floats import Bytes, Floats, pack_bits
from phonelm.formats.blocks.grids import Grid, GridType, Pack, spread

_COLUMNS = 256


def _pack_q2_k(grid: Grid, levels: Bytes, out: Bytes) -> None:
    step, steps, offset, offsets = grid.stored
    out[:, :16] = steps | offsets << np.uint8(4)
    out[:, 16:80] = _pack_pairs(levels)
    out[:, 80:82], out[:, 82:] = step, offset


def _pack_q4_k(grid: Grid, levels: Bytes, out: Bytes) -> None:
    _put_header(grid, out)
    out[:, 16:] = _pack_super_nibbles(levels)


def _pack_q5_k(grid: Grid, levels: Bytes, out: Bytes) -> None:
    _put_header(grid, out)
    out[:, 16:48] = pack_bits((levels >> np.uint8(4)).reshape(-1, 8, 32), 1)
    out[:, 48:] = _pack_super_nibbles(levels & np.uint8(15))


def _pack_q3_k(grid: Grid, levels: Bytes, out: Bytes) -> None:
    step, steps = grid.stored
    scales = steps + np.uint8(32)
    out[:, :32] = pack_bits((levels >> np.uint8(2)).reshape(-1, 8, 32), 1)
    out[:, 32:96] = _pack_pairs(levels & np.uint8(3))
    out[:, 96:104] = pack_bits((scales & np.uint8(15)).reshape(-1, 2, 8), 4)
    out[:, 104:108] = pack_bits((scales >> np.uint8(4)).reshape(-1, 4, 4), 2)
    out[:, 108:] = step


def _pack_q6_k(grid: Grid, levels: Bytes, out: Bytes) -> None:
    step, steps = grid.stored
    halves = levels.reshape(-1, 2, 4, 32)
    # 128 columns: nibbles of groups 0 and 2, of 1 and 3, then the upper two bits of all four.
    nibbles = (halves & np.uint8(15)).reshape(-1, 2, 2, 64)
    out[:, :128] = pack_bits(nibbles, 4).reshape(-1, 128)
    out[:, 128:192] = pack_bits(halves >> np.uint8(4), 2).reshape(-1, 64)
    out[:, 192:208] = steps
    out[:, 208:] = step


def _put_header(grid: Grid, out: Bytes) -> None:
    """Scale, minimum and the 6-bit ones of 8 groups."""
    step, steps, offset, offsets = grid.stored
    out[:, :2], out[:, 2:4] = step, offset
    high = np.uint8(4)
    out[:, 4:8] = steps[:, :4] | (steps[:, 4:] >> high) << np.uint8(6)
    out[:, 8:12] = offsets[:, :4] | (offsets[:, 4:] >> high) << np.uint8(6)
    out[:, 12:16] = (steps[:, 4:] & np.uint8(15)) | (offsets[:, 4:] & np.uint8(15)) << high


def _pack_pairs(levels: Bytes) -> Bytes:
    """Of 128 columns each: group g of 4 in the bits 2 g of 32 bytes."""
    return pack_bits(levels.reshape(-1, 2, 4, 32), 2).reshape(-1, 64)


def _pack_super_nibbles(levels: Bytes) -> Bytes:
    """Of 64 columns each: group g of 2 in the nibble g of 32 bytes."""
    return pack_bits(levels.reshape(-1, 4, 2, 32), 4).reshape(-1, 128)


def _affine(name: str, size: int, highest: int, most: int, ends: tuple[float, ...], pack: Pack) -> GridType:
    return GridType(name, _COLUMNS, size, 0, highest, ends, pack, most)


def _symmetric(name: str, zero: int, most: int, pack: Pack) -> GridType:
    ends = tuple(-(zero + 0.1 * place) for place in range(-9, 10))
    return GridType(name, _COLUMNS, 16, -zero, zero - 1, ends, pack, most)


K_GRIDS = {
    "q2_k": _affine("Q2_K", 16, 3, 15, spread(2.5, 4.0), _pack_q2_k),
    "q3_k": _symmetric("Q3_K", 4, 32, _pack_q3_k),
    "q4_k": _affine("Q4_K", 32, 15, 63, spread(14.0, 16.0), _pack_q4_k),
    "q5_k": _affine("Q5_K", 32, 31, 63, spread(30.0, 32.0), _pack_q5_k),
    "q6_k": _symmetric("Q6_K", 32, 128, _pack_q6_k),
}


def _encoder(type: GridType) -> Callable[[Floats, Bytes], None]:
    def encode(blocks: Floats, out: Bytes) -> None:
        grid = type.fit(blocks, _magnitudes(blocks, type))
        type.encode(type.round(blocks, grid), grid, out)

    return encode


def _magnitudes(blocks: Floats, type: GridType) -> Floats:
    """Weights without importance: of x^2 where 0 is a level for certain, else between that and equal ones."""
    groups = blocks.reshape(len(blocks), -1, type.size)
    with np.errstate(under="ignore", over="ignore", invalid="ignore"):
        if type.lowest:
            return np.square(blocks)
        mean = np.sqrt(np.square(groups).mean(axis=2, keepdims=True))
        weights: Floats = np.abs(groups) + mean
    return weights.reshape(blocks.shape)


K_ENCODERS = {name: _encoder(type) for name, type in K_GRIDS.items()}
