"""Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1: 32 columns with one scale, bit for bit as ggml's reference.

Source of the formulas: `quantize_row_*_ref` in ggml-quants.c.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phonelm.formats.blocks.floats import Bytes, Floats, half, pack_bits, reciprocal, single, unpack_bits
from phonelm.formats.blocks.grids import Grid, GridType, Pack, spread

_BLOCK = 32


def _encode_q8_0(blocks: Floats, out: Bytes) -> None:
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    out[:, :2] = half(scale, "Q8_0")
    scaled = blocks * reciprocal(scale)
    # Half away from zero, as C's roundf; numpy's rint would round half to even.
    magnitude = np.abs(scaled)
    whole = np.floor(magnitude)
    whole += np.floor(np.float32(2) * (magnitude - whole))
    out[:, 2:] = np.copysign(whole, scaled).astype(np.int8).view(np.uint8)


def _encode_q4_0(blocks: Floats, out: Bytes) -> None:
    scale, levels = _signed_levels(blocks, 8)
    out[:, :2] = half(scale, "Q4_0")
    out[:, 2:] = _nibbles(levels)


def _encode_q4_1(blocks: Floats, out: Bytes) -> None:
    scale, low, levels = _levels_above_minimum(blocks, 15)
    out[:, :2] = half(scale, "Q4_1")
    out[:, 2:4] = half(low, "Q4_1")
    out[:, 4:] = _nibbles(levels)


def _encode_q5_0(blocks: Floats, out: Bytes) -> None:
    scale, levels = _signed_levels(blocks, 16)
    out[:, :2] = half(scale, "Q5_0")
    out[:, 2:6] = _fifth_bits(levels)
    out[:, 6:] = _nibbles(levels & np.uint8(15))


def _encode_q5_1(blocks: Floats, out: Bytes) -> None:
    scale, low, levels = _levels_above_minimum(blocks, 31)
    out[:, :2] = half(scale, "Q5_1")
    out[:, 2:4] = half(low, "Q5_1")
    out[:, 4:8] = _fifth_bits(levels)
    out[:, 8:] = _nibbles(levels & np.uint8(15))


def _signed_levels(blocks: Floats, zero: int) -> tuple[Floats, Bytes]:
    """Scale and levels of 0 to 2 `zero` - 1, of which `zero` means 0.

    The scale has the sign of the number of largest magnitude (the first of equals), which becomes level 0.
    """
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = largest / np.float32(-zero)
    with np.errstate(invalid="ignore", over="ignore"):
        levels = (blocks * reciprocal(scale) + np.float32(zero + 0.5)).astype(np.uint8)
    return scale, np.minimum(levels, 2 * zero - 1)


def _levels_above_minimum(blocks: Floats, highest: int) -> tuple[Floats, Floats, Bytes]:
    """Scale, minimum, and levels of 0 to `highest`."""
    low = blocks.min(axis=1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = (blocks.max(axis=1, keepdims=True) - low) / np.float32(highest)
        levels = ((blocks - low) * reciprocal(scale) + np.float32(0.5)).astype(np.uint8)
    return scale, low, np.minimum(levels, highest)


def _decode_q8_0(blocks: Bytes) -> Floats:
    return blocks[:, 2:].view(np.int8).astype(np.float32) * single(blocks[:, :2])


def _decode_q4_0(blocks: Bytes) -> Floats:
    return (_levels(blocks[:, 2:]) - np.float32(8)) * single(blocks[:, :2])


def _decode_q4_1(blocks: Bytes) -> Floats:
    return _levels(blocks[:, 4:]) * single(blocks[:, :2]) + single(blocks[:, 2:4])


def _decode_q5_0(blocks: Bytes) -> Floats:
    return (_levels(blocks[:, 6:], blocks[:, 2:6]) - np.float32(16)) * single(blocks[:, :2])


def _decode_q5_1(blocks: Bytes) -> Floats:
    return _levels(blocks[:, 8:], blocks[:, 4:8]) * single(blocks[:, :2]) + single(blocks[:, 2:4])


def _nibbles(levels: Bytes) -> Bytes:
    """Level i of the first half in the low nibble of byte i, of the second half in the high one."""
    return pack_bits(levels.reshape(-1, 2, _BLOCK // 2), 4)


def _fifth_bits(levels: Bytes) -> Bytes:
    return np.packbits(levels >> np.uint8(4), axis=1, bitorder="little")


def _levels(nibbles: Bytes, fifth_bits: Bytes | None = None) -> Floats:
    levels = unpack_bits(nibbles, 4).reshape(-1, _BLOCK)
    if fifth_bits is not None:
        levels = levels | np.unpackbits(fifth_bits, axis=1, bitorder="little") << np.uint8(4)
    return levels.astype(np.float32)


def _pack_grid(fifth_bit: bool) -> Pack:
    """Writes the float16 numbers of a block, then the fifth bits where there are any, then the nibbles."""

    def pack(grid: Grid, levels: Bytes, out: Bytes) -> None:
        scales = np.hstack(grid.stored)
        num_bytes = scales.shape[1]
        out[:, :num_bytes] = scales
        if fifth_bit:
            out[:, num_bytes : num_bytes + 4] = _fifth_bits(levels)
        out[:, -_BLOCK // 2 :] = _nibbles(levels & np.uint8(15))

    return pack


def _symmetric(name: str, zero: int) -> GridType:
    ends = (*spread(-zero - 0.9, -zero + 0.9), *spread(zero - 1.5, zero + 0.5))
    return GridType(name, _BLOCK, _BLOCK, -zero, zero - 1, ends, _pack_grid(zero > 8))


def _affine(name: str, highest: int) -> GridType:
    return GridType(
        name, _BLOCK, _BLOCK, 0, highest, spread(highest - 1.5, highest + 1.0), _pack_grid(highest > 15)
    )


SIMPLE_GRIDS = {
    "q4_0": _symmetric("Q4_0", 8),
    "q4_1": _affine("Q4_1", 15),
    "q5_0": _symmetric("Q5_0", 16),
    "q5_1": _affine("Q5_1", 31),
}
SIMPLE_ENCODERS: dict[str, Callable[[Floats, Bytes], None]] = {
    "q8_0": _encode_q8_0,
    "q4_0": _encode_q4_0,
    "q4_1": _encode_q4_1,
    "q5_0": _encode_q5_0,
    "q5_1": _encode_q5_1,
}
SIMPLE_DECODERS: dict[str, Callable[[Bytes], Floats]] = {
    "q8_0": _decode_q8_0,
    "q4_0": _decode_q4_0,
    "q4_1": _decode_q4_1,
    "q5_0": _decode_q5_0,
    "q5_1": _decode_q5_1,
}
