"""Some seconds of random sessions; SOAK_SECONDS=3600 takes an hour."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from native_build import ROOT, built


@pytest.mark.slow
def test_random_sessions_neither_differ_nor_leak(tiny_gguf: Path) -> None:
    seconds = os.environ.get("SOAK_SECONDS", "20")
    script = Path(__file__).with_name("soak_sessions.py")
    run = subprocess.run(
        [sys.executable, str(script), seconds, "1", str(tiny_gguf)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert "save_and_restore" in run.stdout


@pytest.mark.slow
def test_random_sessions_under_sanitizers(tiny_gguf: Path, tmp_path: Path) -> None:
    sanitize = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-std=c++20"]
    probe = tmp_path / "probe.cpp"
    probe.write_text("int main() {}\n")
    if subprocess.run(["c++", *sanitize, probe, "-o", tmp_path / "probe"], capture_output=True).returncode:
        pytest.skip("needs the address sanitizer")
    folder = built("sanitize", "-DPHONELM_SANITIZE=ON")
    source, program = ROOT / "tests" / "native" / "stress_sessions.cpp", tmp_path / "stress"
    words = [source, f"-I{ROOT / 'native'}", folder / "libphonelm.a", "-pthread", "-o", program]
    compiled = subprocess.run(["c++", *sanitize, *words], capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr
    run = subprocess.run([program, tiny_gguf, tmp_path / "a", "400"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
