from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.arch import DecoderConfig
from phonelm.formats import write_random_gguf


@pytest.fixture(scope="session")
def relu_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose dead neurons the runtime skips."""
    config = DecoderConfig(
        vocab_size=288,
        hidden_size=64,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        head_dim=16,
        intermediate_size=256,
        activation="relu",
        context_length=96,
    )
    path = tmp_path_factory.mktemp("relu") / "model.gguf"
    write_random_gguf(path, config, block_type="q4_0", embedding_type="q8_0", seed=1)
    return path
