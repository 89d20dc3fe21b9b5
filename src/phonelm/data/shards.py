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


class ConversationWriter:
    """Writes conversations as one shard of tokens, `<split>-weights.bin` and `<split>-starts.bin`.

    Weights are float16, one for each token; starts int64: where each conversation begins, and where the last
    one ends.
    """

    def __init__(self, folder: Path, split: str, vocab_size: int) -> None:
        self.num_learnt = 0
        """Tokens with a weight."""
        self.digest = hashlib.blake2b(digest_size=16)
        self._tokens = ShardWriter(folder, split, vocab_size, max_bytes=2**62)
        self._paths = [conversation_file(folder, split, kind) for kind in ("weights", "starts")]

    def __enter__(self) -> ConversationWriter:
        self._weights, self._starts = (path.open("wb") for path in self._paths)
        self._starts.write(np.zeros(1, "<i8").tobytes())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tokens.__exit__(kind, error, trace)
        self._weights.close()
        self._starts.close()

    @property
    def shards(self) -> list[Shard]:
        """The files of tokens."""
        return self._tokens.shards

    @property
    def tokens(self) -> int:
        """Tokens written so far."""
        return self._tokens.tokens

    def append(self, ids: ArrayLike, weights: ArrayLike) -> None:
        """Write a conversation's token ids and their weights."""
        self._tokens.append(ids)
        shares = np.asarray(weights, "<f2")
        self._weights.write(shares.tobytes())
        self._starts.write(np.asarray(self.tokens, "<i8").tobytes())
        self.num_learnt += int(np.count_nonzero(shares))
        self.digest.update(np.asarray(ids, "<u4").tobytes() + shares.tobytes() + b".")


def conversation_file(folder: Path, split: str, kind: str) -> Path:
    """Where the `weights` or `starts` of a part lie."""
    return folder / f"{split}-{kind}.bin"


def open_conversations(
    folder: Path, split: str, num_tokens: int
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Weights and starts of a part. Raises `ValueError` where they are not as long as recorded."""
    weights, starts = (conversation_file(folder, split, kind) for kind in ("weights", "starts"))
    found = np.fromfile(starts, "<i8") if starts.is_file() else np.zeros(1, np.int64)
    if found[-1:] != num_tokens or not weights.is_file() or weights.stat().st_size != 2 * num_tokens:
        raise ValueError(
            f"{weights} or {starts} is missing or cut off; delete {folder} and prepare the data again"
        )
    return np.memmap(weights, "<f2", mode="r", shape=(num_tokens,)), found


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
