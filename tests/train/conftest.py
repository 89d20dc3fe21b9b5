"""A small corpus, its data folder, and a decoder small enough to train in a second."""

from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.arch import DecoderConfig
from phonelm.data import DataConfig, prepare

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "while",
    "red",
    "dogs",
    "ran",
    "to",
    "an",
    "old",
    "house",
    "near",
    "green",
    "hills",
    "and",
    "sang",
]


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 12,000 tokens of simple sentences."""
    corpus = tmp_path_factory.mktemp("corpus")
    for document in range(60):
        words = [WORDS[(document * 7 + i * i * 3 + i // 5) % len(WORDS)] for i in range(200)]
        (corpus / f"{document}.txt").write_text(" ".join(words) + ".\n")
    folder = tmp_path_factory.mktemp("prepared") / "data"
    prepare(DataConfig(source=str(corpus), vocab_size=320, valid_fraction=0.1), folder)
    return folder


@pytest.fixture(scope="session")
def decoder() -> DecoderConfig:
    return DecoderConfig(
        vocab_size=320,
        hidden_size=32,
        num_layers=2,
        num_heads=2,
        num_kv_heads=1,
        head_dim=16,
        intermediate_size=64,
        activation="relu",
        rope_table="int8",
        context_length=64,
    )
