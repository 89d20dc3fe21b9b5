"""A GGUF model, in one file or in parts, as what it is made of: encoded metadata and stored tensors.

The core checks every count, offset and type first (`native/gguf/`). What is only copied is not decoded.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from phonelm.arch.arithmetic import tensor_bytes
from phonelm.formats.gguf_writer import ALIGNMENT, ARRAY, STRING, TYPE_NUMBERS, Encoded

_NUMBER_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TYPE_NAMES = {number: name for name, number in TYPE_NUMBERS.items()}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor where it lies: logical shape (rows, columns) or (length,), file and place of its bytes."""

    name: str
    type: str
    shape: tuple[int, ...]
    path: Path
    offset: int

    def read(self) -> NDArray[np.uint8]:
        """Its bytes, uint8 [..., bytes of a row]."""
        count = tensor_bytes((prod(self.shape[:-1]), self.shape[-1]), self.type)
        data = np.fromfile(self.path, np.uint8, count, offset=self.offset)
        if len(data) != count:
            raise ValueError(
                f"the file ends after {len(data)} of {count} bytes; it was changed while it was read"
            )
        return data.reshape(*self.shape[:-1], -1)


@dataclass(frozen=True)
class StoredModel:
    """The files of a model, its first part's metadata, and all tensors in the order of the parts."""

    paths: tuple[Path, ...]
    metadata: dict[str, Encoded]
    tensors: list[StoredTensor]


def read_stored(path: Path | str) -> StoredModel:
    """Read a GGUF file, or all parts of the model that it is a part of; no weights are read.

    Raises `ValueError` and `OSError` as the runtime does for a file that is damaged, incomplete or not there.
    """
    from phonelm import _native

    _native.read_tensors(str(path))
    paths = part_paths(Path(path))
    parts = [_read_part(part) for part in paths]
    return StoredModel(paths, parts[0][0], [tensor for _, tensors in parts for tensor in tensors])


def part_paths(path: Path) -> tuple[Path, ...]:
    """The files of the model that a file belongs to, by its name; the file itself where it is whole."""
    match = re.fullmatch(r"(.+)-\d{5}-of-(\d{5})\.gguf", path.name)
    if not match or _num_parts(path) < 2:
        return (path,)
    count = int(match[2])
    return tuple(path.with_name(f"{match[1]}-{part:05}-of-{count:05}.gguf") for part in range(1, count + 1))


def _num_parts(path: Path) -> int:
    count = _read_part(path)[0].get("split.count")
    return int.from_bytes(count.data[4:], "little") if count else 1


def _read_part(path: Path) -> tuple[dict[str, Encoded], list[StoredTensor]]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        cursor = _Cursor(data)
        _, num_tensors, num_keys = cursor.numbers("4xIQQ")
        metadata = dict(cursor.entry() for _ in range(num_keys))
        infos = [cursor.tensor_info() for _ in range(num_tensors)]
    alignment = ALIGNMENT
    if given := metadata.get("general.alignment"):
        alignment = int.from_bytes(given.data[4:], "little")
    begin = -(-cursor.position // alignment) * alignment
    return metadata, [StoredTensor(name, type_, shape, path, begin + at) for name, type_, shape, at in infos]


class _Cursor:
    """Goes through a header that the core has found sound."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.position = 0

    def numbers(self, form: str) -> tuple[int, ...]:
        found: tuple[int, ...] = struct.unpack_from(f"<{form}", self._data, self.position)
        self.position += struct.calcsize(f"<{form}")
        return found

    def entry(self) -> tuple[str, Encoded]:
        key = self._string()
        begin = self.position
        (kind,) = self.numbers("I")
        self._skip(kind)
        return key, Encoded(self._data[begin : self.position])

    def tensor_info(self) -> tuple[str, str, tuple[int, ...], int]:
        name = self._string()
        (num_dims,) = self.numbers("I")
        *dims, type_, offset = self.numbers(f"{num_dims}QIQ")
        while len(dims) > 2 and dims[-1] == 1:  # some writers fill up to four
            dims.pop()
        return name, _TYPE_NAMES[type_], tuple(dims[::-1]), offset

    def _string(self) -> str:
        (length,) = self.numbers("Q")
        self.position += length
        return self._data[self.position - length : self.position].decode("utf-8", "replace")

    def _skip(self, kind: int) -> None:
        if kind == STRING:
            (length,) = self.numbers("Q")
            self.position += length
        elif kind == ARRAY:
            element, count = self.numbers("IQ")
            if element in _NUMBER_BYTES:
                self.position += count * _NUMBER_BYTES[element]
                return
            for _ in range(count):
                self._skip(element)
        else:
            self.position += _NUMBER_BYTES[kind]
