"""Texts to compare tokenizers on: what is at hand of real text, and random Unicode."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import strategies as st
from tokenizer_files import STDLIB

SHARED_DATA = Path(__file__).parents[2] / ".." / "shared" / "data"
# What the pre-tokenizers, the special tokens and the real vocabulary's missing bytes turn on.
SNIPPETS = [
    *("'s", "'ll", "'re", "'x", "’s", " ", "  ", "\t", "\r\n", "\u00a0", "\u3000", "\u200b", "the", " quick"),
    *("é", "ﬁ", "e\u0301", "1", "234", "٣", "½", "Ⅷ", "²", "!", "...", "$", "+=", "`", "^", "。", "€"),
    *("中文", "क्षि", "🙂", "\U00050000", "\0", "\x04", "\x1d"),
    *("<|im_start|>", "<|im_end|>", "<|im_", "<file_sep>", "|>"),
]  # fmt: skip
CHARACTERS = st.one_of(st.sampled_from(SNIPPETS), st.characters(exclude_categories=["Cs"]))
TEXTS = st.one_of(st.text(), st.lists(CHARACTERS, max_size=20).map("".join))


def shared_texts(file: str) -> Iterator[str]:
    path = SHARED_DATA / file
    if path.is_file():
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                row = json.loads(line)
                text = row.get("text") or "\n".join(message["content"] for message in row["messages"])
                yield text[:50_000]


def mixed_texts(total_bytes: int) -> list[str]:
    """Books, textbooks, chats where they are at hand, then the standard library."""
    files = ("text/books", "text/textbooks", "text/peps", "chat/gpteacher", "chat/p3", "chat/alpaca_small")
    texts = [text for file in files for text in islice(shared_texts(f"{file}.jsonl.xz"), 12)]
    missing = total_bytes - sum(len(text.encode()) for text in texts)
    for path in sorted(STDLIB.rglob("*.py")):
        if missing <= 0:
            return texts
        text = path.read_text(encoding="utf-8", errors="ignore")
        texts.append(text)
        missing -= len(text.encode())
    pytest.skip("this Python's standard library is too small for the comparison")
