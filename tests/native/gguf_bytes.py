"""Writes GGUF files by hand, field by field, so that tests can write broken ones too."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY, UINT64 = 4, 5, 6, 7, 8, 9, 10
FORMATS = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<B", UINT64: "<Q"}
F32, Q8_0 = 0, 8


def pack_string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def pack_value(kind: int, value: Any) -> bytes:
    """`value` of an array is (element kind, values)."""
    if kind == STRING:
        return pack_string(value)
    if kind != ARRAY:
        return struct.pack(FORMATS[kind], value)
    element, values = value
    body = b"".join(pack_value(element, item) for item in values)
    return struct.pack("<IQ", element, len(values)) + body


@dataclass
class Tensor:
    name: str = "weight"
    dims: tuple[int, ...] = (4, 2)
    kind: int = F32
    offset: int = 0


@dataclass
class GgufBytes:
    keys: list[tuple[str, int, Any]] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    data: bytes = b""
    version: int = 3
    num_keys: int | None = None
    num_tensors: int | None = None

    def pack(self) -> bytes:
        num_tensors = len(self.tensors) if self.num_tensors is None else self.num_tensors
        num_keys = len(self.keys) if self.num_keys is None else self.num_keys
        out = b"GGUF" + struct.pack("<IQQ", self.version, num_tensors, num_keys)
        for key, kind, value in self.keys:
            out += pack_string(key) + struct.pack("<I", kind) + pack_value(kind, value)
        for tensor in self.tensors:
            out += pack_string(tensor.name) + struct.pack("<I", len(tensor.dims))
            out += struct.pack(f"<{len(tensor.dims)}QIQ", *tensor.dims, tensor.kind, tensor.offset)
        return out + b"\0" * (-len(out) % 32) + self.data
