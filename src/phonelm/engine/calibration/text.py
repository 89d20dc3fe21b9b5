"""A calibration text as windows of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from phonelm.data.files import is_supported, read_documents
from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm.engine.tokenizer import Tokenizer

WINDOW = 512
"""Tokens of context that a text is read in."""
LEAST_TOKENS = 512
_CHARACTERS = 16
"""Of a token at most, nearly: a text longer than its tokens need is not read through the tokenizer."""


def read_windows(path: Path, tokenizer: Tokenizer, most_tokens: int, window: int = WINDOW) -> list[list[int]]:
    """The first tokens of a text in windows of equal length, the last one shorter.

    Documents of JSON lines and the like follow one another; each window begins with the begin-of-text token
    where the model was trained so. Raises `ValueError` for a file that is not UTF-8 text or lacks the field
    `text`, and for one of fewer than `LEAST_TOKENS` tokens.
    """
    ids: list[int] = []
    for text in _documents(path):
        separator = "\n\n" if ids else ""
        ids += tokenizer.encode(separator + text[: _CHARACTERS * most_tokens])
        if len(ids) >= most_tokens:
            break
    if len(ids) < LEAST_TOKENS:
        raise ValueError(
            f"{path} has {counted(len(ids), 'token')}, which say too little about a model's inputs; give a "
            f"text of {LEAST_TOKENS} or more, better of many thousands"
        )
    ids, bos = ids[:most_tokens], tokenizer.encode_prompt("")
    step = window - len(bos)
    return [bos + ids[start : start + step] for start in range(0, len(ids), step)]


def _documents(path: Path) -> Iterator[str]:
    if is_supported(path):
        yield from read_documents(path)
        return
    try:
        yield path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text ({error.reason}); give a text or JSON lines") from error
