"""Writes the files in which Linux tells what a process may use, under a folder that stands for "/"."""

from __future__ import annotations

from pathlib import Path


def write_machine(root: Path, files: dict[str, str]) -> str:
    """`files`: text by path, without the leading slash."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return str(root)
