"""What stands before the weights in a GGUF file, read as it is: also of files that the runtime refuses.

Format: docs/gguf.md of ggml. Types of weights and their blocks: `enum ggml_type` and `type_traits` of ggml.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonelm.words import printable

WEIGHT_TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    24: ("I8", 1, 1),
    25: ("I16", 1, 2),
    26: ("I32", 1, 4),
    27: ("I64", 1, 8),
    28: ("F64", 1, 8),
    29: ("IQ1_M", 256, 56),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
}
"""Name, numbers in a block and bytes of a block, by ggml's number of the type."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""`struct`'s letters, by GGUF's number of the type of a value."""
_STRING, _ARRAY = 8, 9
_VERSIONS = (2, 3)
_MOST_DIMENSIONS = 4
_MOST_ELEMENTS = 1 << 24
"""Of an array: far above any vocabulary, and little memory."""


@dataclass(frozen=True)
class TensorEntry:
    """A tensor as the file lists it; `num_bytes` None for a type that has no name here."""

    name: str
    type: str
    shape: tuple[int, ...]
    """Columns first, as in the file."""
    num_bytes: int | None

    @property
    def num_weights(self) -> int:
        """Numbers in it."""
        product = 1
        for size in self.shape:
            product *= size
        return product


@dataclass(frozen=True)
class GgufHeader:
    """Metadata and tensors of one file."""

    version: int
    metadata: dict[str, Any]
    tensors: tuple[TensorEntry, ...]
    file_bytes: int


def read_header(path: Path) -> GgufHeader:
    """Read what a file says of itself; no weights are read.

    Raises `ValueError` for what is no GGUF file or a broken one, `OSError` for what cannot be read.
    """
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise ValueError(f"{printable(str(path))}: not a GGUF file; give a .gguf file")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                return _Reader(data).header()
            except (struct.error, IndexError, OverflowError):
                problem = "it ends within its header"
            except ValueError as error:
                problem = str(error)
    raise ValueError(f"{printable(str(path))}: the file is broken ({problem}); get it again")


class _Reader:
    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 4

    def header(self) -> GgufHeader:
        version = self._number("I")
        if version not in _VERSIONS:
            raise ValueError(f"GGUF version {version}, not 2 or 3")
        num_tensors, num_keys = self._number("Q"), self._number("Q")
        metadata: dict[str, Any] = {}
        # Counts are claims: reading stops at the end of the file, whatever they say.
        for _ in range(num_keys):
            key = self._text()
            metadata[key] = self._value(self._number("I"))
        tensors = tuple(self._tensor() for _ in range(num_tensors))
        return GgufHeader(version, metadata, tensors, len(self._data))

    def _number(self, letter: str) -> Any:
        value = struct.unpack_from(f"<{letter}", self._data, self._at)[0]
        self._at += struct.calcsize(f"<{letter}")
        return value

    def _text(self) -> str:
        size = self._number("Q")
        end = self._at + size
        if end > len(self._data):
            raise IndexError
        text = self._data[self._at : end].decode("utf-8", "surrogateescape")
        self._at = end
        return text

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array()
        if kind not in _SCALARS:
            raise ValueError(f"a value of type {kind}, which GGUF has not")
        return self._number(_SCALARS[kind])

    def _array(self) -> list[Any]:
        kind, count = self._number("I"), self._number("Q")
        if count > _MOST_ELEMENTS:
            raise ValueError(f"an array of {count:,} elements")
        if kind in _SCALARS:
            letters = f"<{count}{_SCALARS[kind]}"
            values = list(struct.unpack_from(letters, self._data, self._at))
            self._at += struct.calcsize(letters)
            return values
        if kind != _STRING:
            raise ValueError(f"an array of type {kind}, which is not read")
        read: Callable[[], str] = self._text
        return [read() for _ in range(count)]

    def _tensor(self) -> TensorEntry:
        name = self._text()
        num_dimensions = self._number("I")
        if num_dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"a tensor of {num_dimensions} dimensions")
        shape = tuple(self._number("Q") for _ in range(num_dimensions))
        number = self._number("I")
        self._number("Q")
        known = WEIGHT_TYPES.get(number)
        entry = TensorEntry(name, known[0] if known else f"type {number}", shape, None)
        if known is None:
            return entry
        return TensorEntry(name, known[0], shape, entry.num_weights // known[1] * known[2])
