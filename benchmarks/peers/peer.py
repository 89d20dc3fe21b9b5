"""What every peer has: a name and version, a set-up, a reason not to run here, and a worker.

The worker runs as `python -m peers.MODULE` with the peer's own Python: nothing here or in a peer's file may
need more than the standard library when imported. It takes one job, a JSON object, on standard input:

    path, threads, generate
    warm_up, prompt     token ids; as many of the one as of the other, and no shared prefix
    short_prompt        token ids before the decode from a short context
    text_prompt         token ids of a text whose greedy continuation is compared (empty: no comparison)
    text_tokens         how many tokens of it
    programs            the peer's folder

and answers with one on the last line of standard output: `speeds` (tokens per second: `prefill`, `decode`
from the short context, `decode_after_prompt`), `peak_bytes` and `tokens`.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Peer:
    """A runtime to compare with; `set_up` fills an empty folder or raises `OSError` or `SetupError`."""

    name: str
    version: str
    module: str
    cost: str
    """Time and place that the set-up takes, for people."""
    set_up: Callable[[Path], None]
    reason_against: Callable[[], str | None] = lambda: None
    """Why this machine cannot run it, or None."""

    @property
    def title(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}"


class SetupError(Exception):
    """A step of a set-up failed; the text is one line."""


def answer(worker: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Do the job on standard input."""
    print("\n" + json.dumps(worker(json.load(sys.stdin))))


def peak_bytes() -> int:
    """Most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.is_file():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return _in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def children_peak_bytes() -> int:
    """Most memory that one of the processes started from here, and waited for, has held."""
    return _in_bytes(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)


def _in_bytes(maxrss: int) -> int:
    return maxrss if sys.platform == "darwin" else maxrss * 1024
