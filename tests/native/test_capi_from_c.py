"""libphonelm from C: the example of its document, and a program under the sanitizers."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from native_build import ROOT, built, program_folder

import phonelm

FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{ROOT / 'native' / 'include'}"]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g"]


@pytest.fixture(autouse=True)
def compiler() -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")


def compile_c(*words: object) -> None:
    run = subprocess.run(["cc", *FLAGS, *map(str, words)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_example_of_the_document(tiny_gguf: Path, tmp_path: Path) -> None:
    (code,) = re.findall(r"```c\n(.*?)```", (ROOT / "docs" / "c.md").read_text(), re.DOTALL)
    source, program = tmp_path / "example.c", tmp_path / "example"
    source.write_text(code)
    folder = program_folder()
    compile_c(source, f"-L{folder}", "-lphonelm", "-o", program)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    run = subprocess.run([program, tiny_gguf], env=environment, capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
    with phonelm.load(tiny_gguf) as model:
        expected = model.generate("Once upon a time", max_tokens=32, temperature=0.7, seed=0)
        assert run.stdout.decode() == "".join(expected)
    missing = subprocess.run([program, tmp_path / "none"], env=environment, capture_output=True, text=True)
    assert missing.returncode == 1
    assert missing.stderr.count("\n") == 1


@pytest.mark.slow
def test_addresses_and_undefined_behaviour(tiny_gguf: Path, tmp_path: Path) -> None:
    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    if subprocess.run(["cc", *SANITIZE, probe, "-o", tmp_path / "probe"], capture_output=True).returncode:
        pytest.skip("needs the sanitizers")
    folder = built("sanitize", "-DPHONELM_SANITIZE=ON")
    program = tmp_path / "check"
    library = [folder / "libphonelm.a", "-lstdc++", "-lm", "-pthread"]
    compile_c(*SANITIZE, ROOT / "tests" / "native" / "capi_check.c", *library, "-o", program)
    run = subprocess.run([program, tiny_gguf, tmp_path / "cut.gguf"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    for words in (["machine"], ["generate", tiny_gguf, "-p", "a"], ["bench", tiny_gguf, "--prefill", "8"]):
        run = subprocess.run([folder / "phonelm-cli", *words], capture_output=True, text=True)
        assert "Sanitizer" not in run.stderr
        assert "runtime error" not in run.stderr
