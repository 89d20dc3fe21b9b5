"""The weights of Q2_K to Q6_K blocks. Layout: ggml-common.h of llama.cpp."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from phonelm.formats.blocks.floats import Bytes, Floats, single, unpack_bits


def _decode_q2_k(blocks: Bytes) -> Floats:
    steps, offsets = blocks[:, :16] & np.uint8(15), blocks[:, :16] >> np.uint8(4)
    return _scaled(_pairs(blocks[:, 16:80]), blocks[:, 80:82], steps, blocks[:, 82:84], offsets)


def _decode_q4_k(blocks: Bytes) -> Floats:
    steps, offsets = _six_bits(blocks[:, 4:16])
    return _scaled(_super_nibbles(blocks[:, 16:]), blocks[:, :2], steps, blocks[:, 2:4], offsets)


def _decode_q5_k(blocks: Bytes) -> Floats:
    steps, offsets = _six_bits(blocks[:, 4:16])
    levels = _super_nibbles(blocks[:, 48:]) | _mask(blocks[:, 16:48]) << np.uint8(4)
    return _scaled(levels, blocks[:, :2], steps, blocks[:, 2:4], offsets)


def _decode_q3_k(blocks: Bytes) -> Floats:
    low = unpack_bits(blocks[:, 96:104], 4).reshape(-1, 16)
    high = unpack_bits(blocks[:, 104:108], 2).reshape(-1, 16)
    steps = (low | high << np.uint8(4)).astype(np.float32) - np.float32(32)
    levels = _pairs(blocks[:, 32:96]) | _mask(blocks[:, :32]) << np.uint8(2)
    return _scaled_around(levels, 4, blocks[:, 108:], steps)


def _decode_q6_k(blocks: Bytes) -> Floats:
    nibbles = unpack_bits(blocks[:, :128].reshape(-1, 2, 64), 4).reshape(-1, 256)
    pairs = unpack_bits(blocks[:, 128:192].reshape(-1, 2, 32), 2).reshape(-1, 256)
    steps = blocks[:, 192:208].view(np.int8).astype(np.float32)
    return _scaled_around(nibbles | pairs << np.uint8(4), 32, blocks[:, 208:], steps)


def _scaled(levels: Bytes, step: Bytes, steps: Bytes, offset: Bytes, offsets: Bytes) -> Floats:
    groups = levels.reshape(*steps.shape, -1).astype(np.float32)
    scaled: Floats = groups * (single(step) * steps)[:, :, None] - (single(offset) * offsets)[:, :, None]
    return scaled.reshape(len(levels), -1)


def _scaled_around(levels: Bytes, zero: int, step: Bytes, steps: Floats) -> Floats:
    groups = levels.reshape(*steps.shape, -1).astype(np.float32) - np.float32(zero)
    scaled: Floats = groups * (single(step) * steps)[:, :, None]
    return scaled.reshape(len(levels), -1)


def _six_bits(packed: Bytes) -> tuple[Bytes, Bytes]:
    """Scales and minima of 8 groups from 12 bytes."""
    steps, offsets, rest = packed[:, :4], packed[:, 4:8], packed[:, 8:]
    high, top = np.uint8(4), np.uint8(6)
    upper = (rest & np.uint8(15)) | (steps >> top) << high, (rest >> high) | (offsets >> top) << high
    return np.hstack([steps & np.uint8(63), upper[0]]), np.hstack([offsets & np.uint8(63), upper[1]])


def _pairs(packed: Bytes) -> Bytes:
    return unpack_bits(packed.reshape(-1, 2, 32), 2).reshape(-1, 256)


def _super_nibbles(packed: Bytes) -> Bytes:
    return unpack_bits(packed.reshape(-1, 4, 32), 4).reshape(-1, 256)


def _mask(packed: Bytes) -> Bytes:
    """Bit g of byte i belongs to column i of group g."""
    return unpack_bits(packed, 1).reshape(-1, 256)


K_DECODERS: dict[str, Callable[[Bytes], Floats]] = {
    "q2_k": _decode_q2_k,
    "q3_k": _decode_q3_k,
    "q4_k": _decode_q4_k,
    "q5_k": _decode_q5_k,
    "q6_k": _decode_q6_k,
}
