from __future__ import annotations

import pytest
from tokenizer_files import train_vocabulary


@pytest.fixture(scope="session")
def trained() -> tuple[list[str], list[str]]:
    """Tokens and merges; needs no download, and any bytes come back."""
    return train_vocabulary()
