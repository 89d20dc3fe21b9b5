from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chat_models import CHATTY, write_with_template


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The words that start the command line of this checkout."""
    return [sys.executable, "-c", "from phonelm.cli import main; main()"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PHONELM_CACHE": str(tmp_path / "cache"),
        "PHONELM_DEBUG": "",
    }


@pytest.fixture
def phonelm(
    command: list[str], environment: dict[str, str]
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command as a user does, in a process of its own."""

    def run(*arguments: object, text: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *map(str, arguments)],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=120,
        )

    return run


@pytest.fixture(scope="session")
def chatty_gguf(tiny_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, with a template that shows every message; its context holds 96 bytes."""
    return write_with_template(tiny_gguf, tmp_path_factory.mktemp("chatty") / "chat.gguf", CHATTY)
