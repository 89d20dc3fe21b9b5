"""What loading costs, and what it refuses; the contents are compared in test_graph and test_gguf."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from phonelm import _native
from phonelm.arch import DecoderConfig
from phonelm.formats import write_random_gguf

PEAK_SCRIPT = """
import sys
from phonelm import _native
def peak_kib():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before = peak_kib()
model = _native.Model.load(sys.argv[1])
print((peak_kib() - before) * 1024 / model.file_bytes)
"""


@pytest.fixture(scope="module")
def large_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "model.gguf"
    config = DecoderConfig(
        vocab_size=8192,
        hidden_size=768,
        num_layers=16,
        num_heads=12,
        num_kv_heads=4,
        head_dim=64,
        intermediate_size=2048,
    )
    write_random_gguf(path, config)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_never_holds_the_weights_twice(large_gguf: Path) -> None:
    command = [sys.executable, "-c", PEAK_SCRIPT, str(large_gguf)]
    peak_per_file = float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert peak_per_file < 1.25


def test_two_sessions_do_not_disturb_each_other(large_gguf: Path) -> None:
    """All sessions of a model work in one scratch memory, one pass at a time."""
    model = _native.Model.load(str(large_gguf))
    alone = model.new_session(64)
    alone.prefill([1, 2, 3])
    alone.prefill([4])
    first, second = model.new_session(64), model.new_session(64)
    first.prefill([1, 2, 3])
    second.prefill([7, 7])
    first.prefill([4])
    assert (first.logits() == alone.logits()).all()


def test_forced_instruction_set(large_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for isa in _native.cpu_info()["isas"]:
        monkeypatch.setenv("PHONELM_ISA", isa)
        assert _native.Model.load(str(large_gguf)).isa == isa
    monkeypatch.setenv("PHONELM_ISA", "abacus")
    with pytest.raises(ValueError, match="instruction set 'abacus'"):
        _native.Model.load(str(large_gguf))
