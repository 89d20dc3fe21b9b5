from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from phonelm.files import cache_folder
from phonelm.formats import write_random_gguf
from shapes import TINY

# A busy machine must not fail a property that holds.
settings.register_profile("phonelm", deadline=None)
settings.load_profile("phonelm")

# Shells start background jobs without Ctrl-C, and the commands under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _real_model(name: str, variable: str) -> Path:
    named = os.environ.get(variable)
    path = Path(named) if named else cache_folder() / "models" / f"{name}.gguf"
    if not path.is_file():
        pytest.skip(f"needs the real model: phonelm pull {name}")
    return path


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The real model; tests that need it skip where it has not been pulled."""
    return _real_model("smollm2-135m-instruct", "PHONELM_TEST_GGUF")


@pytest.fixture(scope="session")
def gemma3_gguf() -> Path:
    """Gemma-3-270M, under the same condition."""
    return _real_model("gemma-3-270m", "PHONELM_TEST_GEMMA")


@pytest.fixture(scope="session")
def tiny_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights whose tokens are bytes."""
    path = tmp_path_factory.mktemp("tiny") / "model.gguf"
    write_random_gguf(path, TINY, block_type="q8_0", embedding_type="q8_0", seed=1)
    return path


@pytest.fixture(scope="session")
def tiny_long_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with room for a long text."""
    path = tmp_path_factory.mktemp("tiny-long") / "model.gguf"
    config = TINY.model_copy(update={"context_length": 65536})
    write_random_gguf(path, config, block_type="q8_0", embedding_type="q8_0", seed=1)
    return path
