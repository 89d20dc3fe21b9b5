"""What a file's bytes must hash to: SHA-256, or Git's hash for files that lie in Git itself."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Digest:
    """A hash in hexadecimal digits."""

    hexadecimal: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", self.hexadecimal):
            raise ValueError("the hub tells no hash of it")

    @classmethod
    def of_entry(cls, entry: Any) -> Digest:
        """Of a file in the hub's answer: of its LFS entry, else its blob's. Raises `ValueError`."""
        large = entry.get("lfs") or {}
        return cls(str(large.get("sha256") or large.get("oid") or entry.get("blobId") or ""))

    @property
    def short(self) -> str:
        """Its beginning, for names and messages."""
        return self.hexadecimal[:16]

    def of_file(self, path: Path) -> str:
        """The same hash of a file that is here."""
        # Git's is SHA-1 over "blob SIZE", a zero byte and the bytes.
        is_git = len(self.hexadecimal) == 40
        hasher = hashlib.sha1(b"blob %d\0" % path.stat().st_size) if is_git else hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
        return hasher.hexdigest()

    def matches(self, path: Path) -> bool:
        """Whether a file's bytes are those meant."""
        return self.of_file(path) == self.hexadecimal
