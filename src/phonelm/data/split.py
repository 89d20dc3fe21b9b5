"""Which documents are held out."""

from __future__ import annotations

import hashlib


def is_held_out(digest: bytes, fraction: float, seed: int) -> bool:
    """Whether a document is, by the hash of its text: the same wherever it comes, whatever else there is."""
    draw = hashlib.blake2b(digest, digest_size=8, key=seed.to_bytes(8, "little", signed=True)).digest()
    return int.from_bytes(draw, "little") < fraction * 2**64
