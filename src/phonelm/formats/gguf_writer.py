"""Writer of GGUF files, version 3, little endian; tensors may be made one at a time as they are written.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import known_type, tensor_bytes
from phonelm.files import atomic_path

ALIGNMENT = 32
"""Bytes to a multiple of which each tensor's data are padded."""

TYPE_NUMBERS = {
    "f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 6, "q5_1": 7, "q8_0": 8, "q2_k": 10, "q3_k": 11,
    "q4_k": 12, "q5_k": 13, "q6_k": 14, "iq4_nl": 20, "bf16": 30,
}  # fmt: skip
_UINT32, _INT32, _FLOAT32, _BOOL, STRING, ARRAY, _UINT64, _INT64 = 4, 5, 6, 7, 8, 9, 10, 11


@dataclass(frozen=True)
class Encoded:
    """A metadata value as its bytes in a file: its type and what follows."""

    data: bytes


@dataclass(frozen=True)
class QuantizedTensor:
    """A tensor in one of the GGUF types: logical shape (rows, columns) or (length,) and its bytes."""

    type: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8]


@dataclass(frozen=True)
class LazyTensor:
    """A tensor whose bytes are made when they are written, and then forgotten."""

    type: str
    shape: tuple[int, ...]
    make: Callable[[], NDArray[np.uint8]]


GgufTensor = NDArray[np.float32] | NDArray[np.float16] | QuantizedTensor | LazyTensor


def write_gguf(
    path: Path | str,
    metadata: Mapping[str, Any],
    tensors: Iterable[tuple[str, GgufTensor]],
    check: Callable[[Path], None] | None = None,
) -> int:
    """Write a whole file or nothing; return its bytes.

    Metadata values are bool, int (uint32 where it fits, else 64 bits), float (float32), str, lists of one
    of these (integers as int32; an empty list is one of strings), or `Encoded`. A float array is stored as it
    is; an error in making a tensor is a `ValueError` that begins with its name. `check` gets the whole file,
    under a temporary name; if it raises, there is no file.
    """
    described = [(name, _described(name, tensor)) for name, tensor in tensors]
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            file.write(_header(metadata, described))
            _pad(file)
            for name, tensor in described:
                _write_tensor(file, name, tensor)
        if check is not None:
            check(temporary)
        return temporary.stat().st_size


def _described(name: str, tensor: GgufTensor) -> LazyTensor:
    if isinstance(tensor, LazyTensor):
        return LazyTensor(known_type(tensor.type), tensor.shape, tensor.make)
    if isinstance(tensor, QuantizedTensor):
        data = tensor.data
        return LazyTensor(known_type(tensor.type), tensor.shape, lambda: data)
    types = {np.dtype(np.float32): "f32", np.dtype(np.float16): "f16"}
    if tensor.dtype not in types:
        raise ValueError(f"{name}: arrays of {tensor.dtype} cannot be stored; give float32 or float16")
    raw = np.ascontiguousarray(tensor).reshape(-1).view(np.uint8)
    return LazyTensor(types[tensor.dtype], tensor.shape, lambda: raw)


def _header(metadata: Mapping[str, Any], tensors: list[tuple[str, LazyTensor]]) -> bytes:
    metadata = {"general.alignment": ALIGNMENT, **metadata}
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    for key, value in metadata.items():
        try:
            parts += [_string(key), _value(key, value)]
        except (struct.error, OverflowError) as error:
            raise ValueError(f"metadata {key!r} has a number that GGUF cannot hold: {error}") from error
    offset = 0
    for name, tensor in tensors:
        dimensions = tensor.shape[::-1]
        parts += [_string(name), struct.pack("<I", len(dimensions))]
        parts += [struct.pack(f"<{len(dimensions)}Q", *dimensions)]
        parts += [struct.pack("<IQ", TYPE_NUMBERS[tensor.type], offset)]
        offset += _aligned(tensor_bytes(tensor.shape, tensor.type))
    return b"".join(parts)


def _write_tensor(file: BinaryIO, name: str, tensor: LazyTensor) -> None:
    try:
        data = tensor.make()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    expected = tensor_bytes(tensor.shape, tensor.type)
    if data.nbytes != expected:
        kind = tensor.type.upper()
        raise ValueError(f"{name}: {data.nbytes} bytes, but {kind} {tensor.shape} takes {expected}")
    file.write(np.ascontiguousarray(data).data)
    _pad(file)


def _value(key: str, value: Any) -> bytes:
    if isinstance(value, Encoded):
        return value.data
    if isinstance(value, list):
        return _array(key, value)
    if isinstance(value, bool):
        return struct.pack("<I?", _BOOL, value)
    if isinstance(value, int):
        return _integer(value)
    if isinstance(value, float):
        return struct.pack("<If", _FLOAT32, value)
    if isinstance(value, str):
        return struct.pack("<I", STRING) + _string(value)
    raise ValueError(f"metadata {key!r} is of type {type(value).__name__}, which GGUF cannot hold")


def _integer(value: int) -> bytes:
    if 0 <= value < 2**32:
        return struct.pack("<II", _UINT32, value)
    return struct.pack("<IQ", _UINT64, value) if value > 0 else struct.pack("<Iq", _INT64, value)


def _array(key: str, values: list[Any]) -> bytes:
    kinds = {type(value) for value in values} or {str}
    if len(kinds) > 1 or not kinds <= {str, bool, int, float}:
        raise ValueError(f"metadata {key!r} is a list of {', '.join(sorted(k.__name__ for k in kinds))}")
    kind = kinds.pop()
    if kind is str:
        return struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(_string, values))
    code, letter = {bool: (_BOOL, "?"), int: (_INT32, "i"), float: (_FLOAT32, "f")}[kind]
    return struct.pack(f"<IIQ{len(values)}{letter}", ARRAY, code, len(values), *values)


def _string(text: str) -> bytes:
    # Text from a JSON file may hold lone surrogates; they have no UTF-8.
    raw = text.encode("utf-8", errors="replace")
    return struct.pack("<Q", len(raw)) + raw


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _pad(file: BinaryIO) -> None:
    position = file.tell()
    file.write(bytes(_aligned(position) - position))
