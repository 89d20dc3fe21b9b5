"""Q2_K to Q6_K: 256 columns in groups of 16 or 32, whose scales are themselves quantized.

Layout of the blocks: ggml-common.h of llama.cpp. The format leaves open how scales are found; here by least
squares (`scale_search.py`), with weights that grow with a number's magnitude.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phonelm.formats.blocks.floats import Bytes, Floats, half, pack_bits, reciprocal, require_within, single
from phonelm.formats.blocks.scale_search import Rounding, scale_and_minimum, symmetric_scale

_COLUMNS = 256


def _encode_q2_k(blocks: Floats, out: Bytes) -> None:
    scales, minima = _scales_and_minima(blocks, "Q2_K", 16, 3, _range(2.5, 4.0))
    step, steps = _unsigned(scales, 15, "Q2_K")
    offset, offsets = _unsigned(minima, 15, "Q2_K")
    levels = _levels_above(blocks, 3, step, steps, offset, offsets)
    out[:, :16] = steps | offsets << np.uint8(4)
    out[:, 16:80] = _pack_pairs(levels)
    out[:, 80:82], out[:, 82:] = step, offset


def _encode_q4_k(blocks: Floats, out: Bytes) -> None:
    levels = _put_header(blocks, out, "Q4_K", 15)
    out[:, 16:] = _pack_super_nibbles(levels)


def _encode_q5_k(blocks: Floats, out: Bytes) -> None:
    levels = _put_header(blocks, out, "Q5_K", 31)
    out[:, 16:48] = pack_bits((levels >> np.uint8(4)).reshape(-1, 8, 32), 1)
    out[:, 48:] = _pack_super_nibbles(levels & np.uint8(15))


def _encode_q3_k(blocks: Floats, out: Bytes) -> None:
    step, steps, levels = _symmetric(blocks, "Q3_K", 4, 32)
    scales = (steps + 32).astype(np.uint8)
    out[:, :32] = pack_bits((levels >> np.uint8(2)).reshape(-1, 8, 32), 1)
    out[:, 32:96] = _pack_pairs(levels & np.uint8(3))
    out[:, 96:104] = pack_bits((scales & np.uint8(15)).reshape(-1, 2, 8), 4)
    out[:, 104:108] = pack_bits((scales >> np.uint8(4)).reshape(-1, 4, 4), 2)
    out[:, 108:] = step


def _encode_q6_k(blocks: Floats, out: Bytes) -> None:
    step, steps, levels = _symmetric(blocks, "Q6_K", 32, 128)
    halves = levels.reshape(-1, 2, 4, 32)
    # 128 columns: nibbles of groups 0 and 2, of 1 and 3, then the upper two bits of all four.
    nibbles = (halves & np.uint8(15)).reshape(-1, 2, 2, 64)
    out[:, :128] = pack_bits(nibbles, 4).reshape(-1, 128)
    out[:, 128:192] = pack_bits(halves >> np.uint8(4), 2).reshape(-1, 64)
    out[:, 192:208] = steps.astype(np.int8).view(np.uint8)
    out[:, 208:] = step


def _put_header(blocks: Floats, out: Bytes, name: str, highest: int) -> Bytes:
    """Write scale, minimum and the 6-bit ones of 8 groups; return the levels under them."""
    ends = _range(highest - 1.0, highest + 1.0)
    scales, minima = _scales_and_minima(blocks, name, 32, highest, ends)
    step, steps = _unsigned(scales, 63, name)
    offset, offsets = _unsigned(minima, 63, name)
    out[:, :2], out[:, 2:4] = step, offset
    high = np.uint8(4)
    out[:, 4:8] = steps[:, :4] | (steps[:, 4:] >> high) << np.uint8(6)
    out[:, 8:12] = offsets[:, :4] | (offsets[:, 4:] >> high) << np.uint8(6)
    out[:, 12:16] = (steps[:, 4:] & np.uint8(15)) | (offsets[:, 4:] & np.uint8(15)) << high
    return _levels_above(blocks, highest, step, steps, offset, offsets)


def _scales_and_minima(
    blocks: Floats, name: str, size: int, highest: int, ends: list[float]
) -> tuple[Floats, Floats]:
    """Of each group of `size` columns, [blocks, groups]."""
    require_within(blocks, highest * 63, name)
    groups = _side_by_side(blocks, size)
    with np.errstate(under="ignore"):
        weights = np.abs(groups) + np.sqrt(np.square(groups).mean(axis=0))
        scales, minima = scale_and_minimum(groups, weights, highest, ends)
    return scales.reshape(len(blocks), -1), minima.reshape(len(blocks), -1)


def _symmetric(blocks: Floats, name: str, zero: int, most: int) -> tuple[Bytes, Floats, Bytes]:
    """Blocks' scales in float16, groups' in -`most` to `most` - 1, and levels, of which `zero` means 0."""
    require_within(blocks, zero * most, name)
    groups = _side_by_side(blocks, 16)
    ends = [-(zero + 0.1 * place) for place in range(-9, 10)]
    with np.errstate(under="ignore"):
        scales = symmetric_scale(groups, _between(-zero, zero - 1), ends).reshape(len(blocks), -1)
    largest = np.take_along_axis(scales, np.abs(scales).argmax(axis=1, keepdims=True), axis=1)
    step = half(largest / np.float32(-most), name)
    steps = np.rint(scales * reciprocal(single(step)))
    steps = np.clip(steps, -most, most - 1)
    inverse = np.repeat(reciprocal(single(step) * steps), 16, axis=1)
    levels = _between(-zero, zero - 1)(blocks * inverse) + np.float32(zero)
    return step, steps, levels.astype(np.uint8)


def _range(first: float, last: float) -> list[float]:
    """Numbers in steps of 0.1, both ends included."""
    return [first + 0.1 * place for place in range(round(10 * (last - first)) + 1)]


def _side_by_side(blocks: Floats, size: int) -> Floats:
    """The columns of groups as rows, [size, groups]."""
    return np.ascontiguousarray(blocks.reshape(-1, size).T)


def _between(lowest: int, highest: int) -> Rounding:
    def round_levels(numbers: Floats) -> Floats:
        np.rint(numbers, out=numbers)
        return np.clip(numbers, np.float32(lowest), np.float32(highest), out=numbers)

    return round_levels


def _unsigned(numbers: Floats, most: int, name: str) -> tuple[Bytes, Bytes]:
    """Numbers >= 0 of [blocks, groups] as a float16 scale of each block, and 0 to `most` for each group."""
    scale = half(numbers.max(axis=1, keepdims=True) / np.float32(most), name)
    levels = np.rint(numbers * reciprocal(single(scale)))
    return scale, np.minimum(levels, np.float32(most)).astype(np.uint8)


def _levels_above(
    blocks: Floats, highest: int, step: Bytes, steps: Bytes, offset: Bytes, offsets: Bytes
) -> Bytes:
    """The nearest levels under the scales and minima as they are stored."""
    size = _COLUMNS // steps.shape[1]
    groups = blocks.reshape(len(blocks), -1, size)
    inverse = reciprocal(single(step) * steps)[:, :, None]
    levels = np.rint((groups + (single(offset) * offsets)[:, :, None]) * inverse)
    return np.clip(levels, 0, highest).astype(np.uint8).reshape(len(blocks), _COLUMNS)


def _pack_pairs(levels: Bytes) -> Bytes:
    """Of 128 columns each: group g of 4 in the bits 2 g of 32 bytes."""
    return pack_bits(levels.reshape(-1, 2, 4, 32), 2).reshape(-1, 64)


def _pack_super_nibbles(levels: Bytes) -> Bytes:
    """Of 64 columns each: group g of 2 in the nibble g of 32 bytes."""
    return pack_bits(levels.reshape(-1, 4, 2, 32), 4).reshape(-1, 128)


K_ENCODERS: dict[str, Callable[[Floats, Bytes], None]] = {
    "q2_k": _encode_q2_k,
    "q3_k": _encode_q3_k,
    "q4_k": _encode_q4_k,
    "q5_k": _encode_q5_k,
    "q6_k": _encode_q6_k,
}
