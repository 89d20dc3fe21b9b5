from __future__ import annotations

from pathlib import Path

import pytest

from phonelm.formats import write_random_gguf
from shapes import TINY


@pytest.fixture(scope="session")
def relu_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose dead neurons the runtime skips."""
    config = TINY.model_copy(update={"intermediate_size": 256, "activation": "relu"})
    path = tmp_path_factory.mktemp("relu") / "model.gguf"
    write_random_gguf(path, config, block_type="q4_0", embedding_type="q8_0", seed=1)
    return path
