"""A model whose weights are not quantized, and texts for it to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from phonelm.arch import DecoderConfig
from phonelm.formats import write_random_gguf

CONFIG = DecoderConfig(
    vocab_size=300, hidden_size=64, num_layers=3, num_heads=2, num_kv_heads=1, head_dim=32,
    intermediate_size=256, activation="silu", rope_table="float", context_length=256,
)  # fmt: skip
WORDS = ("the", "cat", "sat", "on", "mat", "and said", "that this", "was", "its own", "hat,", "for 12", "34.")


def written_source(folder: Path) -> Path:
    path = folder / "source.gguf"
    write_random_gguf(path, CONFIG, block_type="f16", embedding_type="f16", seed=1)
    return path


def written_text(path: Path, num_words: int = 1500, seed: int = 0) -> Path:
    path.write_text(" ".join(np.random.default_rng(seed).choice(WORDS, num_words)))
    return path
