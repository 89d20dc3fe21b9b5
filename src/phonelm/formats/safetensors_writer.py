"""Writer of safetensors checkpoints, one tensor in memory at a time, in files of bounded size with an index.

Format: https://github.com/huggingface/safetensors#format . The names of the files are those of transformers'
`save_pretrained`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

from phonelm.files import write_json
from phonelm.formats.gguf_writer import LazyTensor

SHARD_BYTES = 5_000_000_000
"""Of one file at most, but for a larger tensor; transformers' value."""
_ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
_ALIGNMENT = 8


def write_checkpoint(
    folder: Path,
    tensors: Mapping[str, LazyTensor],
    metadata: Mapping[str, str],
    shard_bytes: int = SHARD_BYTES,
) -> list[str]:
    """Write `model.safetensors`, or several files and `model.safetensors.index.json`; return their names.

    `tensors` are of type F32, F16 or BF16. Not atomic: the folder is for the caller to rename. An error in
    making a tensor is a `ValueError` that begins with its name.
    """
    shards = _shards(tensors, shard_bytes)
    if len(shards) == 1:
        _write_file(folder / "model.safetensors", tensors, metadata)
        return ["model.safetensors"]
    names = [f"model-{place:05}-of-{len(shards):05}.safetensors" for place in range(1, len(shards) + 1)]
    for name, shard in zip(names, shards, strict=True):
        _write_file(folder / name, {key: tensors[key] for key in shard}, metadata)
    index = {
        "metadata": {"total_size": sum(map(tensor_bytes, tensors.values()))},
        "weight_map": {key: name for name, shard in zip(names, shards, strict=True) for key in shard},
    }
    write_json(folder / "model.safetensors.index.json", index)
    return [*names, "model.safetensors.index.json"]


def tensor_bytes(tensor: LazyTensor) -> int:
    """Bytes of a tensor in a file."""
    return prod(tensor.shape) * _ITEM_BYTES[tensor.type]


def _shards(tensors: Mapping[str, LazyTensor], shard_bytes: int) -> list[list[str]]:
    """The names of each file's tensors, in their order."""
    shards: list[list[str]] = [[]]
    used = 0
    for name, tensor in tensors.items():
        size = tensor_bytes(tensor)
        if shards[-1] and used + size > shard_bytes:
            shards.append([])
            used = 0
        shards[-1].append(name)
        used += size
    return shards


def _write_file(path: Path, tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> None:
    with path.open("wb") as file:
        file.write(_header(tensors, metadata))
        for name, tensor in tensors.items():
            try:
                data = tensor.make()
            except ValueError as error:
                raise ValueError(f"{name} {error}") from error
            assert data.nbytes == tensor_bytes(tensor), name
            file.write(data.data)


def _header(tensors: Mapping[str, LazyTensor], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor_bytes(tensor)
        entries[name] = {"dtype": tensor.type, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    raw = json.dumps(entries, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % _ALIGNMENT)
    return struct.pack("<Q", len(raw)) + raw
