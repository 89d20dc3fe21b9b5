"""Memory-mapped reader of safetensors checkpoints, one file or several with an index.

Format: https://github.com/huggingface/safetensors#format . Everything the header says is checked against the
file.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm.files import read_json
from phonelm.formats.quantization import from_bfloat16

_DTYPES: dict[str, type[np.generic]] = {"F32": np.float32, "F16": np.float16, "BF16": np.uint16}
_MAX_HEADER_BYTES = 100_000_000  # the limit of the reference implementation


class SafetensorsFile:
    """One file: names, shapes, and tensors as float32."""

    def __init__(self, path: Path) -> None:
        """Read and check the header; `ValueError` says what is wrong with the file."""
        self.path = path
        self._start, header = _read_header(path)
        header.pop("__metadata__", None)
        self._entries = header
        self._size = path.stat().st_size - self._start
        for name, entry in header.items():
            self._check(name, entry)

    def names(self) -> list[str]:
        """Names of all tensors."""
        return list(self._entries)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return tuple(self._entries[name]["shape"])

    def load(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32. Raises `ValueError` for a type other than F32, F16 and BF16."""
        entry = self._entries[name]
        dtype = _DTYPES.get(entry["dtype"])
        if dtype is None:
            raise ValueError(f"{name} has type {entry['dtype']}; save the checkpoint as F32, F16 or BF16")
        begin, end = entry["data_offsets"]
        if begin == end:
            return np.empty(self.shape(name), np.float32)
        raw = np.memmap(self.path, np.uint8, "r", self._start + begin, (end - begin,))
        # Offsets need not be multiples of the element size: a copy of the bytes is aligned.
        values = np.array(raw).view(dtype).reshape(self.shape(name))
        return from_bfloat16(values) if dtype is np.uint16 else values.astype(np.float32, copy=False)

    def _check(self, name: str, entry: Any) -> None:
        try:
            begin, end = entry["data_offsets"]
            dtype, shape = entry["dtype"], entry["shape"]
            numbers = [begin, end, *shape]
            sound = isinstance(dtype, str) and all(isinstance(n, int) and n >= 0 for n in numbers)
        except (TypeError, KeyError, ValueError):
            sound = False
        if not sound or not begin <= end <= self._size:
            raise ValueError(f"{self.path} is truncated or corrupt at tensor {name!r}; fetch it again")
        if dtype in _DTYPES and end - begin != math.prod(shape) * np.dtype(_DTYPES[dtype]).itemsize:
            raise ValueError(f"{self.path} is corrupt: {name!r} has {end - begin} bytes for shape {shape}")


class Checkpoint(Mapping[str, tuple[int, ...]]):
    """All tensors of a checkpoint folder: a mapping from names to shapes, and `load`."""

    def __init__(self, folder: Path) -> None:
        """Open `model.safetensors`, or the files that `model.safetensors.index.json` names.

        Raises `ValueError` when there is neither, and for a corrupt file; `FileNotFoundError` for a missing
        shard.
        """
        self._files: dict[str, SafetensorsFile] = {}
        for path in _shards(folder):
            shard = SafetensorsFile(path)
            self._files |= dict.fromkeys(shard.names(), shard)

    def __getitem__(self, name: str) -> tuple[int, ...]:
        return self._files[name].shape(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def load(self, name: str) -> NDArray[np.float32]:
        """A tensor as float32; `ValueError` for a type that is not F32, F16 or BF16."""
        return self._files[name].load(name)


def _shards(folder: Path) -> list[Path]:
    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    if single.is_file():
        return [single]
    if not index.is_file():
        raise ValueError(f"{folder} has no model.safetensors; save the checkpoint with safetensors")
    document = read_json(index)
    weights = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
        raise ValueError(f"{index} has no weight_map; fetch it again")
    names = sorted(set(weights.values()))
    if any(Path(name).name != name for name in names):
        raise ValueError(f"{index} names files outside its folder; fetch it again")
    return [folder / name for name in names]


def _read_header(path: Path) -> tuple[int, dict[str, Any]]:
    """Where the data start, and the parsed header."""
    broken = f"{path} is not a whole safetensors file; fetch it again"
    with path.open("rb") as file:
        prefix = file.read(8)
        length = struct.unpack("<Q", prefix)[0] if len(prefix) == 8 else 0
        if not 2 <= length <= min(_MAX_HEADER_BYTES, path.stat().st_size - 8):
            raise ValueError(broken)
        raw = file.read(length)
    try:
        header = json.loads(raw)
    except ValueError as error:
        raise ValueError(broken) from error
    if not isinstance(header, dict):
        raise ValueError(broken)
    return 8 + length, header
