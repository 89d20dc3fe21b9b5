from __future__ import annotations

import os
from pathlib import Path

import pytest

from phonelm.files import cache_folder


@pytest.fixture(scope="session")
def smollm2_gguf() -> Path:
    """The real model; tests that need it skip where it has not been pulled."""
    named = os.environ.get("PHONELM_TEST_GGUF")
    path = Path(named) if named else cache_folder() / "models" / "smollm2-135m-instruct.gguf"
    if not path.is_file():
        pytest.skip("needs the real model: phonelm pull smollm2-135m-instruct")
    return path
