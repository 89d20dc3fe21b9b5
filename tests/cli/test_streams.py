"""Standard streams that are closed, full, or in another encoding; prompts from where users have them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from phonelm.cli import VERBS

Phonelm = Callable[..., subprocess.CompletedProcess[str]]
Shell = Callable[..., "subprocess.CompletedProcess[bytes]"]
SHORT = "-n 4 --temperature 0 --threads 1"


@pytest.fixture
def shell(environment: dict[str, str]) -> Shell:
    """Run `phonelm` with words of the shell around it."""

    def run(line: str, **changes: str) -> subprocess.CompletedProcess[bytes]:
        script = f'phonelm() {{ "{sys.executable}" -m phonelm "$@"; }}\n{line}'
        return subprocess.run(
            ["bash", "-c", script],
            capture_output=True,
            check=False,
            env={**environment, **changes},
            timeout=120,
        )

    return run


def test_the_module_runs_as_the_command_does(shell: Shell, phonelm: Phonelm) -> None:
    assert shell("phonelm --help").stdout.decode() == phonelm("--help").stdout
    wrong = shell("phonelm frob")
    assert (wrong.returncode, wrong.stderr) == (2, phonelm("frob").stderr.encode())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("phonelm generate {model} -p x >&-", "standard output is closed; send it to a file"),
        ("phonelm --help >&-", "standard output is closed; send it to a file"),
        ("phonelm generate {model} <&-", "standard input is closed"),
        ("phonelm generate {model} -p - <&-", "standard input is closed"),
        ("phonelm chat {model} <&-", "standard input is closed"),
        ("phonelm generate {model} -p x > /dev/full", "the disk is full"),
        ("phonelm generate {model} -p x --json > /dev/full", "the disk is full"),
        ("phonelm --help > /dev/full", "the disk is full"),
        ("phonelm models > /dev/full", "the disk is full"),
        (r"printf '\xff' | phonelm generate {model}", "standard input is not utf-8 (byte 0); convert it"),
        (r"phonelm generate {model} < /dev/null", "the prompt is empty"),
    ],
)
def test_streams_that_fail_are_one_line(shell: Shell, tiny_gguf: Path, line: str, message: str) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    done = shell(line.format(model=tiny_gguf))
    assert (done.returncode, done.stdout) == (1, b"")
    error = done.stderr.decode()
    assert error.startswith(f"phonelm: {message}")
    assert error.count("\n") == 1


def test_notes_stay_out_of_the_answer_where_standard_error_is_closed(shell: Shell, tiny_gguf: Path) -> None:
    line = f"phonelm generate {tiny_gguf} -p x {SHORT} -v --json"
    closed = shell(f"{line} 2>&-")
    assert closed.returncode == 0
    assert json.loads(closed.stdout)["text"] == json.loads(shell(line).stdout)["text"]


def test_an_encoding_without_a_character_replaces_it(shell: Shell, tiny_gguf: Path) -> None:
    line = f"phonelm generate {tiny_gguf} -p x -n 30 --temperature 0"
    utf8 = shell(line, PYTHONIOENCODING="utf-8").stdout.decode()
    latin = shell(line, PYTHONIOENCODING="latin-1")
    assert latin.returncode == 0, latin.stderr
    assert latin.stdout == utf8.encode("latin-1", "replace")
    assert "\ufffd" in utf8
    document = shell(f"{line} --json", PYTHONIOENCODING="latin-1")
    assert json.loads(document.stdout.decode("ascii"))["text"] == utf8[:-1]


def test_a_prompt_that_is_no_text_comes_back_escaped(shell: Shell, tiny_gguf: Path) -> None:
    done = shell(rf"phonelm generate {tiny_gguf} -p $'a\xffb' {SHORT} --json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["prompt"] == "a\udcffb"


def test_a_prompt_comes_from_many_places(shell: Shell, tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_bytes("Grüße\r\nzwei\r\n".encode())
    options = f"{SHORT} --json"
    for line in (
        f"phonelm generate {tiny_gguf} $'Grüße\\r\\nzwei' {options}",
        f"phonelm generate {tiny_gguf} --prompt $'Grüße\\r\\nzwei' {options}",
        f"phonelm generate {tiny_gguf} --prompt-file {tmp_path / 'p.txt'} {options}",
        f"phonelm generate {tiny_gguf} {options} < {tmp_path / 'p.txt'}",
        f"cat {tmp_path / 'p.txt'} | phonelm generate {tiny_gguf} - {options}",
        f"cat {tmp_path / 'p.txt'} | phonelm generate {tiny_gguf} -p - {options}",
    ):
        done = shell(line)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["prompt"] == "Grüße\r\nzwei", line


def test_two_prompts_are_wrong_usage(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("x")
    for words in (["x", "-p", "y"], ["x", "--prompt-file", tmp_path / "p.txt"]):
        done = phonelm("generate", tiny_gguf, *words)
        assert (done.returncode, done.stdout) == (2, "")
        assert "the prompt is given twice" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_prompt_file_that_cannot_be_read(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"Gr\xfc\xdfe")
    for name, message in (("none.txt", "no such file"), ("latin.txt", "is not utf-8 (byte 2); convert it")):
        done = phonelm("generate", tiny_gguf, "--prompt-file", tmp_path / name)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_that_standard_output_is_closed(shell: Shell, verb: str) -> None:
    done = shell(f"phonelm {verb} >&-")
    assert done.returncode == 1
    assert done.stderr.decode().startswith("phonelm: standard output is closed; send it to a file")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize("options", ["", "--json"])
def test_measuring_needs_no_standard_input_and_says_a_full_disk(
    shell: Shell, tiny_gguf: Path, options: str
) -> None:
    line = f"phonelm bench {tiny_gguf} --prompt 4 --generate 2 --repeats 1 --threads 1 {options}"
    closed = shell(f"{line} <&-")
    assert closed.returncode == 0, closed.stderr
    assert closed.stdout
    full = shell(f"{line} > /dev/full")
    assert full.returncode == 1
    assert full.stderr.decode().splitlines()[-1].startswith("phonelm: the disk is full")
