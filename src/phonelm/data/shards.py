"""Token files: little-endian integers, at most 200 MB each, read through memory maps."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

MAX_SHARD_BYTES = 200_000_000


class Shard(BaseModel):
    """One file of tokens."""

    file: str
    tokens: int


def token_dtype(vocab_size: int) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
    """The smaller little-endian integer that holds every token id."""
    return np.dtype("<u2") if vocab_size <= 2**16 else np.dtype("<u4")


class ShardWriter:
    """Appends tokens to `<split>-00000.bin`, `<split>-00001.bin`, ... in a folder."""

    def __init__(self, folder: Path, split: str, vocab_size: int, max_bytes: int = MAX_SHARD_BYTES) -> None:
        self.shards: list[Shard] = []
        self.digest = hashlib.blake2b(digest_size=16)
        self._folder = folder
        self._split = split
        self._dtype = token_dtype(vocab_size)
        self._shard_tokens = max_bytes // self._dtype.itemsize
        self._file: BinaryIO | None = None

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    @property
    def tokens(self) -> int:
        """Tokens written so far."""
        return sum(shard.tokens for shard in self.shards)

    def append(self, ids: ArrayLike) -> None:
        """Write token ids, in a new file whenever one is full."""
        tokens = np.asarray(ids, self._dtype)
        while len(tokens):
            if not self.shards or self.shards[-1].tokens == self._shard_tokens:
                self._next_file()
            assert self._file is not None
            fitting = tokens[: self._shard_tokens - self.shards[-1].tokens]
            data = fitting.tobytes()
            self._file.write(data)
            self.digest.update(data)
            self.shards[-1].tokens += len(fitting)
            tokens = tokens[len(fitting) :]

    def _next_file(self) -> None:
        if self._file:
            self._file.close()
        self.shards.append(Shard(file=f"{self._split}-{len(self.shards):05d}.bin", tokens=0))
        self._file = (self._folder / self.shards[-1].file).open("wb")


def open_shards(folder: Path, shards: list[Shard], vocab_size: int) -> list[NDArray[np.unsignedinteger]]:
    """Memory-map token files. Raises `ValueError` when a file is missing or not as long as recorded."""
    dtype = token_dtype(vocab_size)
    maps: list[NDArray[np.unsignedinteger]] = []
    for shard in shards:
        path = folder / shard.file
        if not path.exists() or path.stat().st_size != shard.tokens * dtype.itemsize:
            raise ValueError(f"{path} is missing or cut off; delete {folder} and prepare the data again")
        maps.append(np.memmap(path, dtype, mode="r", shape=(shard.tokens,)))
    return maps
