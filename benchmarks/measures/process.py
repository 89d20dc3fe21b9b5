"""One process a measurement: memory that is its own, nothing left in caches by another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from peers.environment import clean, python_of
from peers.peer import Peer

FOLDER = Path(__file__).resolve().parent.parent


class WorkerError(Exception):
    """A process failed; the text is one line."""


def ours(task: str, job: dict[str, Any]) -> dict[str, Any]:
    """Do a task of `measures.ours` in a process of its own; raises `WorkerError`."""
    path = os.pathsep.join((str(FOLDER), *filter(None, sys.path)))
    return _ask([sys.executable, "-m", "measures.ours", task], job, {**os.environ, "PYTHONPATH": path})


def peer(peer: Peer, place: Path, job: dict[str, Any]) -> dict[str, Any]:
    """Do the peer's job in its environment; raises `WorkerError`."""
    command = [str(python_of(place)), "-m", peer.module]
    return _ask(command, {**job, "programs": str(place)}, clean(os.environ))


def _ask(command: list[str], job: dict[str, Any], environment: dict[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        command,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        errors="replace",
        env=environment,
        cwd=FOLDER,
        check=False,
    )
    if done.returncode:
        raise WorkerError(_reason(done.returncode, done.stderr))
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _reason(code: int, errors: str) -> str:
    """What a failed process said last: the text of its exception."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    if code < 0:
        return f"it was ended by signal {-code}"
    last = lines[-1] if lines else f"it ended with {code}"
    return last.removeprefix("RuntimeError: ").removeprefix("ValueError: ")[:300]
