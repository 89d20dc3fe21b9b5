"""The environment of a peer: a folder in the cache, filled once, on first use."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from peers.peer import Peer, SetupError

COMPLETE = "complete"


def ready(peer: Peer, folder: Path) -> Path:
    """Return the peer's environment below `folder`, set up if it is not there.

    Raises `SetupError`, one line, for a peer that cannot run here or could not be set up. A set-up that was
    interrupted is begun anew: the file that says it is complete is written last.
    """
    if reason := peer.reason_against():
        raise SetupError(reason)
    place = folder / f"{peer.name}-{peer.version}"
    with _locked(folder / f".{place.name}.lock"):
        if not (place / COMPLETE).is_file():
            _set_up(peer, place)
    return place


def _set_up(peer: Peer, place: Path) -> None:
    print(f"setting up {peer.title} in {place} (once; {peer.cost})", file=sys.stderr)
    try:
        if place.exists():
            shutil.rmtree(place)
        _log(place).unlink(missing_ok=True)
        place.mkdir()
        peer.set_up(place)
        (place / COMPLETE).touch()
    except OSError as error:
        raise SetupError(f"its set-up failed: {error}") from error


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One set-up at a time; the system frees the lock when the process ends, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SetupError(f"its folder cannot be written: {error}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def python_of(place: Path) -> Path:
    """The Python of a peer that `install` made."""
    return place / "bin" / "python"


def install(place: Path, *packages: str) -> None:
    """Make a virtual environment in the folder and install packages, none of them built from source."""
    run([sys.executable, "-m", "venv", str(place)], place)
    pip(place, "install", "--only-binary", ":all:", *packages)


def pip(place: Path, command: str, *arguments: str) -> None:
    """Run the environment's pip in the folder."""
    quiet = ("--disable-pip-version-check", "--progress-bar", "off")
    run([str(python_of(place)), "-m", "pip", command, *quiet, *arguments], place)


def run(command: Sequence[str], place: Path) -> None:
    """Run one step of a set-up, what it says in a log; `SetupError` tells the last line of a failure."""
    log = _log(place)
    with log.open("a") as out:
        out.write(f"$ {' '.join(command)}\n")
        out.flush()
        done = subprocess.run(
            command, cwd=place, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=clean(os.environ)
        )
    if done.returncode:
        last = next((line for line in reversed(log.read_text().splitlines()) if line.strip()), "")
        raise SetupError(f"its set-up failed: {last.strip()[:200]} (all of it: {log})")


def _log(place: Path) -> Path:
    return place.with_name(f"{place.name}.log")


def clean(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables without those that would let in another Python's packages."""
    return {key: value for key, value in environment.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
