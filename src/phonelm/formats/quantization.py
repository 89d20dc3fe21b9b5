"""Weight types of GGUF in numpy, both ways: F32, F16, BF16 and the quantized types.

A quantized matrix is rows of blocks of 32 or 256 columns. Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 are written bit for
bit as by ggml's reference; for the others the format leaves open how scales are found.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import BLOCKS
from phonelm.formats.blocks import BLOCK_DECODERS, BLOCK_ENCODERS, Bytes, Floats
from phonelm.formats.blocks.floats import require_finite

TENSOR_TYPES = tuple(name.upper() for name in BLOCKS)
"""Types that can be written and read."""

_CHUNK_COLUMNS = 4096 * 32  # 512 KiB of float32: temporaries stay in the cache


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
    if name.lower() in BLOCK_ENCODERS:
        return _quantize_blocks(values, name)
    if name == "BF16":
        encoded: NDArray[Any] = _to_bfloat16(values)
        require_finite(from_bfloat16(encoded.view(np.uint16)), name)
    else:
        with np.errstate(over="ignore"):
            encoded = values.astype(np.float16 if name == "F16" else np.float32, copy=False)
        require_finite(encoded, name)
    return encoded.view(np.uint8).reshape(*values.shape[:-1], -1)


def dequantize(data: Bytes, type: str) -> Floats:
    """Decode the bytes of a GGUF tensor, uint8 [..., bytes of a row], to float32 [..., columns]."""
    name = tensor_type(type)
    data = np.ascontiguousarray(data)
    if name.lower() in BLOCK_DECODERS:
        size = BLOCKS[name.lower()][1]
        if data.shape[-1] % size:
            raise ValueError(f"a row of {data.shape[-1]} bytes is not whole blocks of {name} ({size} bytes)")
        decoded = BLOCK_DECODERS[name.lower()](data.reshape(-1, size))
        return decoded.reshape(*data.shape[:-1], -1)
    if name == "BF16":
        return from_bfloat16(data.view(np.uint16))
    return data.view(np.float16 if name == "F16" else np.float32).astype(np.float32)


def from_bfloat16(data: NDArray[np.uint16]) -> Floats:
    """Widen bfloat16, given as its 16 bits, to float32."""
    bits = data.astype(np.uint32)
    bits <<= 16
    return bits.view(np.float32)


def _quantize_blocks(values: Floats, name: str) -> Bytes:
    columns, size = BLOCKS[name.lower()]
    if values.shape[-1] % columns:
        raise ValueError(f"{values.shape[-1]} columns are not a multiple of {columns}, as {name} needs")
    blocks = values.reshape(-1, columns)
    out = np.empty((len(blocks), size), np.uint8)
    encode, chunk = BLOCK_ENCODERS[name.lower()], _CHUNK_COLUMNS // columns

    def encode_chunk(start: int) -> None:
        encode(blocks[start : start + chunk], out[start : start + chunk])

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(encode_chunk, range(0, len(blocks), chunk)):
            pass
    return out.reshape(*values.shape[:-1], -1)


def _to_bfloat16(values: Floats) -> NDArray[np.uint16]:
    """Round to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(np.uint16)
