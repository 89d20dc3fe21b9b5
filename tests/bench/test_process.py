from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from phonelm.bench import measure, measure_file
from phonelm.engine import load


def test_a_process_of_its_own_measures_the_same_model(tiny_gguf: Path) -> None:
    with load(tiny_gguf, num_threads=1) as model:
        here = measure(model, 16, 8, 1)
    there = measure_file(tiny_gguf, 16, 8, 1, num_threads=1)
    assert there.output_sha256 == here.output_sha256
    assert there.load_s > 0


def test_memory_of_this_process_is_not_the_models(tiny_gguf: Path) -> None:
    held = b"x" * (300 << 20)
    result = measure_file(tiny_gguf, 16, 8, 1, num_threads=1)
    assert result.peak_rss_bytes < len(held)


def test_the_parts_of_the_memory_add_up(tiny_gguf: Path) -> None:
    result = measure_file(tiny_gguf, 16, 8, 1, num_threads=1)
    assert min(result.base_bytes, result.weight_bytes, result.kv_bytes) > 0
    parts = result.base_bytes + result.weight_bytes + result.kv_bytes + result.buffer_bytes
    assert parts == result.peak_rss_bytes if result.buffer_bytes else parts >= result.peak_rss_bytes


def test_a_failure_in_the_other_process_is_raised_here(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"no model")
    with pytest.raises(ValueError, match="not a GGUF file"):
        measure_file(tmp_path / "broken.gguf", 16, 8, 1)
    with pytest.raises(FileNotFoundError, match="no model at"):
        measure_file(tmp_path / "nothing.gguf", 16, 8, 1)


def test_a_script_without_a_main_guard_may_measure(tiny_gguf: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        f"from phonelm.bench import measure_file; print(measure_file({str(tiny_gguf)!r}, 16, 8, 1).model)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "model.gguf\n"


def test_measuring_needs_no_torch() -> None:
    code = "import sys, phonelm.bench; assert not {'torch', 'rich', 'typer'} & set(sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
