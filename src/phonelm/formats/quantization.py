"""Weight types of GGUF in numpy: F32, F16, BF16, Q8_0, Q4_0, Q4_1, both ways, bit for bit as ggml's
reference.

A quantized matrix is rows of blocks of 32 columns. Source of the formulas: `quantize_row_*_ref` in
ggml-quants.c.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

TENSOR_TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1")
"""Types that can be written and read."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

_CHUNK_BLOCKS = 4096  # 512 KiB of float32: temporaries stay in the cache
_BLOCK = 32


def tensor_type(name: str) -> str:
    """The name in the spelling of `TENSOR_TYPES`; `ValueError` when there is no such type."""
    if name.upper() not in TENSOR_TYPES:
        raise ValueError(f"unknown weight type {name!r}; choose one of {', '.join(TENSOR_TYPES).lower()}")
    return name.upper()


def quantize(array: Floats, type: str) -> Bytes:
    """Encode float32 [..., columns] as the bytes of a GGUF tensor, uint8 [..., bytes of a row].

    Raises `ValueError` for an unknown type, columns that do not fill blocks, and numbers that are not finite
    in that type.
    """
    name = tensor_type(type)
    values = np.ascontiguousarray(array, dtype=np.float32)
    if name in _BLOCK_ENCODERS:
        return _quantize_blocks(values, name)
    if name == "BF16":
        encoded: NDArray[Any] = _to_bfloat16(values)
        _require_finite(from_bfloat16(encoded.view(np.uint16)), name)
    else:
        with np.errstate(over="ignore"):
            encoded = values.astype(np.float16 if name == "F16" else np.float32, copy=False)
        _require_finite(encoded, name)
    return encoded.view(np.uint8).reshape(*values.shape[:-1], -1)


def dequantize(data: Bytes, type: str) -> Floats:
    """Decode the bytes of a GGUF tensor, uint8 [..., bytes of a row], to float32 [..., columns]."""
    name = tensor_type(type)
    data = np.ascontiguousarray(data)
    if name in _BLOCK_DECODERS:
        size, decode = _BLOCK_DECODERS[name]
        if data.shape[-1] % size:
            raise ValueError(f"a row of {data.shape[-1]} bytes is not whole blocks of {name} ({size} bytes)")
        return decode(data.reshape(-1, size)).reshape(*data.shape[:-1], -1)
    if name == "BF16":
        return from_bfloat16(data.view(np.uint16))
    return data.view(np.float16 if name == "F16" else np.float32).astype(np.float32)


def from_bfloat16(data: NDArray[np.uint16]) -> Floats:
    """Widen bfloat16, given as its 16 bits, to float32."""
    bits = data.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def _quantize_blocks(values: Floats, name: str) -> Bytes:
    if values.shape[-1] % _BLOCK:
        raise ValueError(f"{values.shape[-1]} columns are not a multiple of {_BLOCK}, as {name} needs")
    size, encode = _BLOCK_ENCODERS[name]
    blocks = values.reshape(-1, _BLOCK)
    out = np.empty((len(blocks), size), np.uint8)

    def encode_chunk(start: int) -> None:
        encode(blocks[start : start + _CHUNK_BLOCKS], out[start : start + _CHUNK_BLOCKS])

    starts = range(0, len(blocks), _CHUNK_BLOCKS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(encode_chunk, starts):
            pass
    return out.reshape(*values.shape[:-1], -1)


def _encode_q8_0(blocks: Floats, out: Bytes) -> None:
    scale = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    out[:, :2] = _half(scale, "Q8_0")
    scaled = blocks * _reciprocal(scale)
    # Half away from zero, as C's roundf; numpy's rint would round half to even.
    magnitude = np.abs(scaled)
    whole = np.floor(magnitude)
    whole += np.floor(np.float32(2) * (magnitude - whole))
    out[:, 2:] = np.copysign(whole, scaled).astype(np.int8).view(np.uint8)


def _encode_q4_0(blocks: Floats, out: Bytes) -> None:
    # The scale has the sign of the number of largest magnitude (the first of equals), which becomes -8.
    largest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    scale = largest / np.float32(-8)
    out[:, :2] = _half(scale, "Q4_0")
    levels = (blocks * _reciprocal(scale) + np.float32(8.5)).astype(np.uint8)
    out[:, 2:] = _pack_nibbles(levels)


def _encode_q4_1(blocks: Floats, out: Bytes) -> None:
    low = blocks.min(axis=1, keepdims=True)
    with np.errstate(over="ignore", invalid="ignore"):
        scale = (blocks.max(axis=1, keepdims=True) - low) / np.float32(15)
    out[:, :2] = _half(scale, "Q4_1")
    out[:, 2:4] = _half(low, "Q4_1")
    levels = ((blocks - low) * _reciprocal(scale) + np.float32(0.5)).astype(np.uint8)
    out[:, 4:] = _pack_nibbles(levels)


def _decode_q8_0(blocks: Bytes) -> Floats:
    return blocks[:, 2:].view(np.int8).astype(np.float32) * _single(blocks[:, :2])


def _decode_q4_0(blocks: Bytes) -> Floats:
    return (_unpack_nibbles(blocks[:, 2:]) - np.float32(8)) * _single(blocks[:, :2])


def _decode_q4_1(blocks: Bytes) -> Floats:
    return _unpack_nibbles(blocks[:, 4:]) * _single(blocks[:, :2]) + _single(blocks[:, 2:4])


def _pack_nibbles(levels: Bytes) -> Bytes:
    """Level i of the first half in the low nibble of byte i, of the second half in the high one."""
    np.minimum(levels, 15, out=levels)
    return levels[:, : _BLOCK // 2] | (levels[:, _BLOCK // 2 :] << np.uint8(4))


def _unpack_nibbles(packed: Bytes) -> Floats:
    return np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)


def _reciprocal(scale: Floats) -> Floats:
    # A scale so small that its reciprocal overflows is zero in float16 too: its block is all zero.
    with np.errstate(divide="ignore", over="ignore"):
        inverse = np.float32(1) / scale
    inverse[~np.isfinite(inverse)] = 0
    return inverse


def _half(numbers: Floats, name: str) -> Bytes:
    with np.errstate(over="ignore", invalid="ignore"):
        halves = numbers.astype(np.float16)
    _require_finite(halves, name)
    return halves.view(np.uint8)


def _single(halves: Bytes) -> Floats:
    return np.ascontiguousarray(halves).view(np.float16).astype(np.float32)


def _to_bfloat16(values: Floats) -> NDArray[np.uint16]:
    """Round to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)


def _require_finite(values: NDArray[Any], name: str) -> None:
    if not np.isfinite(values).all():
        raise ValueError(f"holds numbers that are not finite in {name} (NaN, infinite or too large)")


_BLOCK_ENCODERS: dict[str, tuple[int, Callable[[Floats, Bytes], None]]] = {
    "Q8_0": (34, _encode_q8_0),
    "Q4_0": (18, _encode_q4_0),
    "Q4_1": (20, _encode_q4_1),
}
_BLOCK_DECODERS: dict[str, tuple[int, Callable[[Bytes], Floats]]] = {
    "Q8_0": (34, _decode_q8_0),
    "Q4_0": (18, _decode_q4_0),
    "Q4_1": (20, _decode_q4_1),
}
