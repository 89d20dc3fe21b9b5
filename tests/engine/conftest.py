from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from phonelm.arch import DecoderConfig
from phonelm.engine import Model, load
from phonelm.formats import write_random_gguf

TINY = DecoderConfig(
    vocab_size=288,
    hidden_size=64,
    num_layers=2,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=128,
    context_length=96,
)


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights whose tokens are bytes."""
    path = tmp_path_factory.mktemp("tiny") / "model.gguf"
    write_random_gguf(path, TINY, block_type="q8_0", embedding_type="q8_0", seed=1)
    return path


@pytest.fixture
def tiny(tiny_gguf: Path) -> Iterator[Model]:
    with load(tiny_gguf, num_threads=1) as model:
        yield model


@pytest.fixture(scope="session")
def smollm2(smollm2_gguf: Path) -> Iterator[Model]:
    with load(smollm2_gguf) as model:
        yield model
