from __future__ import annotations

import sys
from pathlib import Path

import pytest
from measures import process
from peers import PEERS


def test_our_own_error_is_its_text_alone(tiny_gguf: Path) -> None:
    job = {"path": str(tiny_gguf), "threads": 1, "isa": "sve", "prompt": [1], "generate": 2}
    with pytest.raises(process.WorkerError, match=r"^[^:]*sve"):
        process.ours("greedy", job)


def test_a_peer_whose_worker_fails_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    with pytest.raises(process.WorkerError) as error:
        process.peer(PEERS["openvino-genai"], tmp_path, {"path": "model.gguf", "threads": 1})
    assert "\n" not in str(error.value)
    assert "openvino" in str(error.value)


def test_a_signal_is_named() -> None:
    command = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    with pytest.raises(process.WorkerError, match="ended by signal 9"):
        process._ask(command, {}, {})
