"""Bytes from an address into a file that grows: resumed after a stop, retried after a stall or a cut.

The file named `.NAME.HASH.part` holds the beginning of the one content with that hash, so that no other
content is ever continued with it; the hash of the whole is checked before the file gets its name.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phonelm.engine.hub.client import network_errors, opened, reason_of
from phonelm.engine.hub.digest import Digest
from phonelm.engine.hub.errors import FetchError
from phonelm.progress import Progress
from phonelm.words import sized

if TYPE_CHECKING:
    from http.client import HTTPResponse

_CHUNK_BYTES = 1 << 20
_ACCEPTED = {"Accept-Encoding": "identity"}


@dataclass(frozen=True)
class Patience:
    """How long a silent server is waited for, and how often it is asked again without a byte from it."""

    stall_s: float = 30.0
    retries: int = 4
    pause_s: float = 1.0
    """Before the first retry; it doubles with each."""


PATIENCE = Patience()


@dataclass(frozen=True)
class Download:
    """A content at an address. `label` is what people call it."""

    label: str
    url: str
    size_bytes: int
    digest: Digest

    def part_of(self, path: Path) -> Path:
        """Where the bytes are gathered for a file that shall stand at `path`."""
        return path.with_name(f".{path.name}.{self.digest.short}.part")


def download(wanted: Download, path: Path, progress: Progress) -> Path:
    """Gather the content beside `path` and return where it is, whole and with the right hash.

    Raises `FetchError`: what came is kept for the next call, except where its hash is wrong.
    """
    part = wanted.part_of(path)
    part.parent.mkdir(parents=True, exist_ok=True)
    if _size(part) > wanted.size_bytes:
        part.unlink()
    if (have := _size(part)) and have < wanted.size_bytes:
        progress.line(f"{wanted.label}: goes on after {sized(have)} of {sized(wanted.size_bytes)}")
    if have < wanted.size_bytes or not part.exists():
        try:
            with progress.transfer(wanted.label, wanted.size_bytes, have) as advance:
                _gather(wanted, part, advance, progress)
        except BaseException:
            remove_empty(part)
            raise
    if not wanted.digest.matches(part):
        part.unlink()
        raise FetchError(
            f"{wanted.label} came with another hash than {wanted.digest.short}... and was deleted; run "
            "again, and if that happens twice the source is damaged"
        )
    return part


def remove_empty(path: Path) -> None:
    """Remove a file that holds nothing to go on from."""
    if path.exists() and path.stat().st_size == 0:
        path.unlink()


def _gather(wanted: Download, part: Path, advance: Callable[[float], None], progress: Progress) -> None:
    part.touch()
    failures = 0
    while (before := _size(part)) < wanted.size_bytes:
        reason = _attempt(wanted, part, advance)
        failures = 1 if _size(part) > before else failures + 1
        if reason is None or _size(part) >= wanted.size_bytes:
            continue
        if failures > PATIENCE.retries:
            raise FetchError(_stopped(wanted, part, reason))
        pause = PATIENCE.pause_s * 2 ** (failures - 1)
        progress.line(f"{wanted.label}: {reason} at {sized(_size(part))}; asks again in {pause:g} s")
        time.sleep(pause)


def _attempt(wanted: Download, part: Path, advance: Callable[[float], None]) -> str | None:
    """Ask once for what is missing; return why it ended early, where asking again may help."""
    have = _size(part)
    headers = _ACCEPTED | ({"Range": f"bytes={have}-"} if have else {})
    try:
        with opened(wanted.url, wanted.label, headers, PATIENCE.stall_s) as answer:
            if have and answer.status != 206:
                # The server knows no ranges.
                advance(-have)
                part.write_bytes(b"")
                have = 0
            _check_answer(wanted, answer, have)
            return _append(answer, part, wanted.size_bytes - have, advance)
    except TimeoutError:
        return f"no bytes for {PATIENCE.stall_s:g} s"
    except FetchError as error:
        if error.status < 500:
            raise
        return str(error)
    except network_errors() as error:
        return f"the connection failed ({reason_of(error)})"


def _check_answer(wanted: Download, answer: HTTPResponse, have: int) -> None:
    """Raises `FetchError` for an answer that is not the rest of the content."""
    length = answer.headers.get("Content-Length") or ""
    announced = have + int(length) if length.isdigit() else wanted.size_bytes
    place = answer.headers.get("Content-Range") or f"bytes {have}-"
    if answer.status == 206 and not place.startswith(f"bytes {have}-"):
        raise FetchError(f"{wanted.label}: the server answers with another range than asked; run again later")
    if announced != wanted.size_bytes:
        raise FetchError(
            f"{wanted.label} has {announced:,} bytes at its source, not the {wanted.size_bytes:,} expected; "
            "it has changed or is damaged there"
        )


def _append(answer: HTTPResponse, part: Path, missing: int, advance: Callable[[float], None]) -> str | None:
    with part.open("ab") as file:
        while missing:
            # What has come at once, so that a stall loses nothing.
            chunk = answer.read1(min(_CHUNK_BYTES, missing))
            if not chunk:
                return "the connection was cut"
            file.write(chunk)
            missing -= len(chunk)
            advance(len(chunk))
    return None


def _stopped(wanted: Download, part: Path, reason: str) -> str:
    have = _size(part)
    if not have:
        return f"{wanted.label}: nothing came ({reason}); check the network and run again"
    return (
        f"{wanted.label}: stopped after {sized(have)} of {sized(wanted.size_bytes)} ({reason}); "
        "run the same command to go on"
    )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
