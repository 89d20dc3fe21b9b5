"""The trained tokenizer is one that transformers reads, lossless and of exactly the size asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from phonelm.data.tokenizer import save_tokenizer, special_ids, token_bytes, train_tokenizer

TEXTS = ["def add(a, b):\n    return a + b\n" * 20, "Numbers 12345 and words, words, words. Ünïcödé ☃\n" * 20]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(train_tokenizer(TEXTS, 300), folder)
    return folder


@pytest.mark.parametrize("size", [259, 300, 2000])
def test_it_has_exactly_the_size_asked_for(tmp_path: Path, size: int) -> None:
    save_tokenizer(train_tokenizer(TEXTS, size), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == size
    assert sorted(tokenizer.get_vocab().values()) == list(range(size))
    assert len(token_bytes(tmp_path)) == size


def test_special_tokens_and_digits(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert special_ids(folder) == (0, 1, 2)
    assert tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"]) == [0, 1, 2]
    assert tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.tokenize("12345") == list("12345")
    chat = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert chat == "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"


@given(st.text())
def test_any_text_comes_back_and_its_bytes_are_counted(folder: Path, text: str) -> None:
    tokenizer = _cached(folder)
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    assert token_bytes(folder)[np.array(ids, int)].sum() == len(text.encode())


_LOADED: dict[Path, object] = {}


def _cached(folder: Path):  # type: ignore[no-untyped-def]
    if folder not in _LOADED:
        _LOADED[folder] = AutoTokenizer.from_pretrained(folder)
    return _LOADED[folder]
