"""llama.cpp's own tools, of the build that is set up on first use."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from peers import environment, llama_cpp, llama_cpp_build


def program(name: str, environments: Path, folder: Path | None = None) -> Path:
    """The tool of that name: in `folder`, or if none is given of the build below `environments`.

    Raises `SetupError` for a build that failed, and `ValueError` where the tool is missing.
    """
    if folder is None:
        place = environment.ready(llama_cpp.PLAIN, environments)
        folder = place / llama_cpp_build.PROGRAMS
    found = folder / name
    if not found.is_file():
        raise ValueError(f"{folder} has no {name}; delete its environment, to have it built anew")
    return found


def output_of(command: Sequence[str]) -> str:
    """What a tool prints, standard output first. Raises `ValueError` with its last words where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        name = Path(command[0]).name
        raise ValueError(f"{name} ended with {done.returncode}: {done.stderr.strip()[-200:]}")
    return done.stdout + done.stderr
