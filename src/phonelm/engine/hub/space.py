"""Room on the disk, before bytes are fetched."""

from __future__ import annotations

import shutil
from pathlib import Path

from phonelm.progress import Progress
from phonelm.words import sized

_MARGIN_BYTES = 16 << 20
"""Left for others: a disk that is full to the last byte stops them too."""


def require_space(folder: Path, num_bytes: int, label: str, progress: Progress) -> None:
    """Say what a fetch needs. Raises `OSError` where the disk has less."""
    there = folder
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if free < num_bytes + _MARGIN_BYTES:
        raise OSError(
            f"{label} needs {sized(num_bytes)} of disk, and {there} has {sized(free)} left; free some space "
            "(phonelm rm), or set PHONELM_CACHE to a folder on another disk"
        )
    progress.line(f"{label} needs {sized(num_bytes)} of disk; {sized(free)} are free")
