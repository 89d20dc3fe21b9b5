"""Scores on disk, a line a sample, so that an evaluation that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any

from phonelm.files import cache_folder, fingerprint

Record = dict[str, Any]


def records_path(identity: dict[str, Any], settings: dict[str, Any]) -> Path:
    """Where the records of a task are kept: one file for what scores depend on."""
    key = fingerprint({**identity, **settings})
    return cache_folder() / "evaluation" / "records" / key[:20] / f"{settings['task']}.jsonl"


class Records:
    """The samples scored so far, and a file that grows by what is scored now."""

    def __init__(self, path: Path, *, fresh: bool = False) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.unlink(missing_ok=True)
        self.known: dict[int, Record] = {}
        self._end = 0
        if path.is_file():
            self._read()
        self._file: IO[bytes] = path.open("r+b" if path.is_file() else "w+b")
        # A line that was cut by a stop is written over.
        self._file.seek(self._end)
        self._file.truncate()

    def _read(self) -> None:
        for line in self.path.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                return
            try:
                record = json.loads(line)
                self.known[int(record["sample"])] = record
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path} is damaged ({error}); --fresh scores its samples again"
                ) from error
            self._end += len(line)

    def add(self, records: Iterable[Record]) -> None:
        """Keep the records of some samples; they are on disk when this returns."""
        for record in records:
            self.known[int(record["sample"])] = record
            self._file.write(json.dumps(record).encode() + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
