"""A data folder: made whole or not at all, and left alone where it is up to date."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phonelm.data.config import ConversationsConfig, DataConfig
from phonelm.data.manifest import MANIFEST_FILE, DataManifest
from phonelm.files import atomic_path, fingerprint, provenance, remove_leftovers, write_json
from phonelm.progress import Progress


def make_data_folder(
    folder: Path,
    config: DataConfig | ConversationsConfig,
    inputs: list[Any],
    write: Callable[[Path], dict[str, Any]],
    progress: Progress,
) -> DataManifest:
    """Have `write` fill a folder, and add `data.json` of the fields that it returns; one up to date stays.

    `inputs`, JSON-able, is what decides the content beside `config`. Raises `ValueError` for a folder that
    holds something else.
    """
    settings = config.model_dump(mode="json")
    identity = fingerprint([settings, *inputs])
    if (folder / MANIFEST_FILE).exists():
        if (present := DataManifest.load(folder)).fingerprint == identity:
            progress.line(f"{folder} is prepared already")
            return present
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and holds no prepared data; name another folder")
    began = time.monotonic()
    remove_leftovers(folder)
    with atomic_path(folder) as staging:
        staging.mkdir()
        fields = write(staging)
        made = provenance(config=settings, seed=config.seed, wall_s=time.monotonic() - began)
        manifest = DataManifest(fingerprint=identity, seed=config.seed, made=made, **fields)
        write_json(staging / MANIFEST_FILE, manifest.model_dump(mode="json"))
    progress.line(manifest.summary)
    return manifest
