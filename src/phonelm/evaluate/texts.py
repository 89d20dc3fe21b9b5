"""The texts on which models are judged: a file's documents, and what identifies the file."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from phonelm.data.files import JSON_LINES, read_documents


@dataclass(frozen=True)
class EvaluationText:
    """Documents that are scored apart, with the name, bytes and SHA-256 of the file they came from."""

    name: str
    documents: tuple[str, ...]
    file_bytes: int
    sha256: str


def read_text(path: Path | str) -> EvaluationText:
    """Read a UTF-8 text, which is one document, or JSON lines, each with a field `text`.

    A text is taken as it is, its last line end included. JSON lines (`.jsonl`, also `.xz`, `.gz` and `.zst`)
    may hold `messages` instead of `text`, as for training data. Raises `FileNotFoundError`, `OSError`, and
    `ValueError` for what is no text, is empty, or holds a line without text.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name a text file or a .jsonl file")
    raw = path.read_bytes()
    if not path.name.lower().endswith(JSON_LINES):
        return text_of(raw, str(path))
    documents = tuple(document for document in read_documents(path) if document)
    if not documents:
        raise ValueError(f"{path} holds no text; give a file with some")
    return EvaluationText(str(path), documents, len(raw), hashlib.sha256(raw).hexdigest())


def text_of(raw: bytes, name: str) -> EvaluationText:
    """Return the bytes of a UTF-8 text as its one document. Raises `ValueError` for none and for others."""
    if not raw:
        raise ValueError(f"{name} is empty; give some text")
    if b"\0" in raw:
        raise ValueError(f"{name} is binary (byte {raw.index(0)} is 0), not text; give a UTF-8 text")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 (byte {error.start}); give a UTF-8 text") from None
    return EvaluationText(name, (text,), len(raw), hashlib.sha256(raw).hexdigest())
