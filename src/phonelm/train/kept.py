"""Checkpoints that are kept along a stage: Hugging Face folders of the model as it was after some steps."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from phonelm.files import atomic_path, write_json
from phonelm.train.checkpoint import save_checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KEPT_FOLDER = "checkpoints"
KEPT_FILE = "checkpoint.json"
"""Of a kept checkpoint: its `step` and the `tokens` that the stage had learnt from."""


def keep_checkpoint(
    model: PreTrainedModel, data_folder: Path, folder: Path, step: int, tokens: int, most: int | None
) -> None:
    """Write the model into the stage's `folder`, whole or not at all, and drop the oldest beyond `most`."""
    place = folder / KEPT_FOLDER / f"step-{step:09d}"
    # A run that was killed behind it comes by again.
    if place.is_dir():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(place) as staging:
        save_checkpoint(model, data_folder, staging)
        write_json(staging / KEPT_FILE, {"step": step, "tokens": tokens})
    kept = sorted(place.parent.glob("step-*"))
    for old in kept[: len(kept) - (most or len(kept))]:
        shutil.rmtree(old)


def drop_checkpoints(folder: Path) -> None:
    """Remove those of a stage that begins anew."""
    shutil.rmtree(folder / KEPT_FOLDER, ignore_errors=True)
