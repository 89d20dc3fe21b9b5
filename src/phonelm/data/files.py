"""Documents in files: plain text, JSON lines (also compressed), parquet."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
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
    name = path.name.lower()
    try:
        if name.endswith(PLAIN):
            yield path.read_text(encoding="utf-8")
        elif name.endswith(".parquet"):
            yield from _parquet_documents(path)
        else:
            yield from _json_lines_documents(path)
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


def _json_lines_documents(path: Path) -> Iterator[str]:
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
            yield document_of(row, f"{path} line {number}")


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


def _parquet_documents(path: Path) -> Iterator[str]:
    from pyarrow import parquet

    file = parquet.ParquetFile(path)
    fields = [name for name in ("text", "messages") if name in file.schema_arrow.names]
    if not fields:
        raise ValueError(
            f'{path} has no column "text" and no "messages"; rename the column that holds the text'
        )
    number = 0
    for batch in file.iter_batches(batch_size=256, columns=fields):
        for row in batch.to_pylist():
            number += 1
            yield document_of(row, f"{path} row {number}")


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
