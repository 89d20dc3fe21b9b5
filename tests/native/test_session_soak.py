"""Some seconds of random sessions; SOAK_SECONDS=3600 takes an hour."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_random_sessions_neither_differ_nor_leak(tiny_gguf: Path) -> None:
    seconds = os.environ.get("SOAK_SECONDS", "20")
    script = Path(__file__).with_name("soak_sessions.py")
    run = subprocess.run(
        [sys.executable, str(script), seconds, "1", str(tiny_gguf)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "save_and_restore" in run.stdout
