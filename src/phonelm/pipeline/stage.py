"""A stage of a build: what it needs, when it is up to date, and the record it leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from phonelm.files import read_json, write_json
from phonelm.pipeline.recipe import Recipe
from phonelm.progress import Progress


@dataclass(frozen=True)
class Context:
    """What a stage works with."""

    recipe: Recipe
    folder: Path
    progress: Progress

    def path(self, name: str) -> Path:
        """A file or folder of the run."""
        return self.folder / name


@dataclass(frozen=True)
class Outcome:
    """What a stage says of its work."""

    summary: str
    """A line for a person."""
    digest: Any
    """JSON-able; later stages are run again when it changes."""


@dataclass(frozen=True)
class Stage:
    """A step from files to files in the run folder."""

    name: str
    needs: tuple[str, ...]
    outputs: tuple[str, ...]
    """What must be there, relative to the run folder, for the stage to count as done."""
    settings: Callable[[Recipe], Any]
    """The part of the recipe that decides the result; JSON-able."""
    run: Callable[[Context], Outcome]
    state: Callable[[Recipe], Any] = lambda _recipe: None
    """What else decides it: the machine, the files of the corpus; JSON-able."""
    check: Callable[[Recipe], None] = lambda _recipe: None
    """Raises what would end the stage, for it to be known before the first one begins."""


class StageRecord(BaseModel):
    """The trace of a finished stage, `stages/<name>.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    fingerprint: str
    digest: str
    summary: str
    seconds: float
    made: dict[str, Any]

    def save(self, folder: Path) -> None:
        """Write into the run folder."""
        write_json(record_path(folder, self.name), self.model_dump(mode="json"))


def record_path(folder: Path, name: str) -> Path:
    """Where the record of a stage lies."""
    return folder / "stages" / f"{name}.json"


def read_record(folder: Path, name: str) -> StageRecord | None:
    """The record of a stage, None where it never finished or the record is of another version."""
    try:
        return StageRecord.model_validate(read_json(record_path(folder, name)))
    except (FileNotFoundError, ValidationError, ValueError):
        return None
