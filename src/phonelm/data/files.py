"""Documents in files: plain text, JSON lines (also compressed), parquet."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PLAIN = (".txt", ".md", ".py")
JSON_LINES = (".jsonl", ".jsonl.xz", ".jsonl.zst", ".jsonl.gz")
SUFFIXES = (*PLAIN, *JSON_LINES, ".parquet")
READERS = {".parquet": "pyarrow", ".zst": "zstandard"}
"""The packages that some of them need."""


def is_supported(path: Path) -> bool:
    """Whether documents can be read from a file of this name."""
    return path.name.lower().endswith(SUFFIXES)


def read_documents(path: Path) -> Iterator[str]:
    """Yield the documents of a file: a plain file is one, a JSON line or a parquet row is one.

    Raises `ValueError` with the file's name when it is damaged or lacks the fields `text` and `messages`.
    """
    if path.name.lower().endswith(PLAIN):
        with _told_damage(path):
            yield path.read_text(encoding="utf-8")
        return
    for row, place in read_rows(path, ("text", "messages")):
        yield document_of(row, place)


def read_rows(path: Path, fields: Sequence[str]) -> Iterator[tuple[Any, str]]:
    """Yield the rows of a file of JSON lines or parquet, each with the words for its place.

    Of parquet only the columns `fields` are read. Raises `ValueError` with the file's name when it is of
    another kind, damaged, or has none of the columns.
    """
    name = path.name.lower()
    if name.endswith(PLAIN):
        raise ValueError(f"{path} holds text, not rows; give JSON lines or parquet")
    with _told_damage(path):
        yield from _parquet_rows(path, fields) if name.endswith(".parquet") else _json_lines_rows(path)


@contextmanager
def _told_damage(path: Path) -> Iterator[None]:
    """Errors of the readers name the file and say what to do."""
    try:
        yield
    except _damage_errors() as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(
            f"{path} is damaged or not what its name says ({error}); repair or remove it"
        ) from error


def document_of(row: Mapping[str, Any], place: str) -> str:
    """The text of a row: its field `text`, or its `messages`.

    Messages become `role: content` paragraphs with an empty line between them. Raises `ValueError` naming
    `place` when there is neither.
    """
    text = row.get("text") if isinstance(row, Mapping) else None
    if isinstance(text, str):
        return text
    messages = row.get("messages") if isinstance(row, Mapping) else None
    if not isinstance(messages, list) or not all(isinstance(m, Mapping) and "content" in m for m in messages):
        raise ValueError(f'{place} has no "text" and no "messages"; give each row one of them')
    return "\n\n".join(f"{message.get('role', 'user')}: {message['content'] or ''}" for message in messages)


def _json_lines_rows(path: Path) -> Iterator[tuple[Any, str]]:
    with _open_text(path) as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"{path} line {number} is not JSON ({error.msg}); repair or remove it"
                ) from error
            yield row, f"{path} line {number}"


def _open_text(path: Path) -> IO[str]:
    import gzip
    import io
    import lzma

    suffix = path.suffix.lower()
    if suffix == ".xz":
        return lzma.open(path, "rt", encoding="utf-8")
    if suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8")
    if suffix == ".zst":
        import zstandard

        raw = zstandard.ZstdDecompressor().stream_reader(
            path.open("rb"), read_across_frames=True, closefd=True
        )
        return io.TextIOWrapper(raw, encoding="utf-8")
    return path.open(encoding="utf-8")


def _parquet_rows(path: Path, fields: Sequence[str]) -> Iterator[tuple[Any, str]]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    found = [name for name in fields if name in file.schema_arrow.names]
    if not found:
        wanted = " and no ".join(f'"{name}"' for name in fields)
        raise ValueError(f"{path} has no column {wanted}; rename the column that holds it")
    number = 0
    for batch in file.iter_batches(batch_size=256, columns=found):
        for row in batch.to_pylist():
            number += 1
            yield row, f"{path} row {number}"


def _damage_errors() -> tuple[type[Exception], ...]:
    """What the readers raise on damaged bytes; `OSError` of the system itself is not among them."""
    import gzip
    import lzma

    errors: list[type[Exception]] = [ValueError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile]
    for package, name in (("zstandard", "ZstdError"), ("pyarrow.lib", "ArrowInvalid")):
        try:
            errors.append(getattr(__import__(package, fromlist=[name]), name))
        except ImportError:
            continue
    return tuple(errors)
