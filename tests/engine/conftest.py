from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from phonelm.engine import Model, load


@pytest.fixture
def tiny(tiny_gguf: Path) -> Iterator[Model]:
    with load(tiny_gguf, num_threads=1) as model:
        yield model


@pytest.fixture(scope="session")
def smollm2(smollm2_gguf: Path) -> Iterator[Model]:
    with load(smollm2_gguf) as model:
        yield model
