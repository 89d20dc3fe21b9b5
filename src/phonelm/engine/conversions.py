"""Folders of Hugging Face's libraries as GGUF files in the cache, made once for each state of a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from phonelm.files import cache_folder, file_states, fingerprint
from phonelm.version import package_version


def converted(folder: Path, kind: str, purpose: Any, convert: Callable[[Path], object]) -> Path:
    """The GGUF file of a folder, which `convert` writes where the cache has none of the folder as it is.

    `kind` is the cache's folder, `purpose` what a conversion depends on beside the folder, as JSON. A file of
    an earlier state goes.
    """
    place = fingerprint([str(folder.resolve()), purpose])[:8]
    state = fingerprint([package_version(), *file_states(folder)])
    out = cache_folder() / kind / f"{folder.resolve().name}-{place}-{state}.gguf"
    if not out.is_file():
        out.parent.mkdir(parents=True, exist_ok=True)
        convert(out)
        for stale in out.parent.glob(f"*-{place}-*.gguf"):
            if stale != out:
                stale.unlink(missing_ok=True)
    return out
