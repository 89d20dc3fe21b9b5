from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_a_model_becomes_a_folder_and_a_model_again(phonelm: Run, tiny_gguf: Path, tmp_path: Path) -> None:
    done = phonelm("import", tiny_gguf, tmp_path / "folder", "--dtype", "bfloat16", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["dtype"], summary["architecture"]) == ("bfloat16", "llama")
    assert "importing" in done.stderr
    again = phonelm("quantize", tmp_path / "folder", "--type", "q8_0", "-o", tmp_path / "again.gguf")
    assert again.returncode == 0, again.stderr
    one, other = (
        phonelm("tokenize", path, "a ü", "--ids").stdout for path in (tiny_gguf, tmp_path / "again.gguf")
    )
    assert one == other


def test_mistakes_are_one_line(phonelm: Run, tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    done = phonelm("import", tiny_gguf, tmp_path / "full")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "is not empty; name a new folder" in done.stderr
    done = phonelm("import", tiny_gguf, tmp_path / "new", "--dtype", "q4_0")
    assert done.returncode == 2
    assert "float32, bfloat16, float16" in done.stderr
