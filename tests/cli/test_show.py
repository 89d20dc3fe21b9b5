"""`phonelm show` as a user runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf_bytes import ARRAY, FLOAT32, STRING, UINT32, GgufBytes

Phonelm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A file whose metadata would steer a terminal."""
    path = tmp_path / "hostile.gguf"
    keys = [
        ("general.architecture", STRING, "llama\x1b[2J"),
        ("general.name", STRING, "a\x1b]0;title\x07\nb\u202e"),
        ("key\x1b[31m", STRING, "x\r" + "y" * 500),
        ("numbers", ARRAY, (UINT32, list(range(100)))),
        ("infinite", FLOAT32, float("inf")),
        ("tokenizer.chat_template", STRING, "{{ a }}\n\t\x1b[2J{{ b }}"),
    ]
    path.write_bytes(GgufBytes(keys).pack())
    return path


def test_a_model_is_shown(phonelm: Phonelm, tiny_gguf: Path) -> None:
    done = phonelm("show", tiny_gguf, "--tensors")
    assert done.returncode == 0
    for text in (
        "parameters",
        "bits per weight",
        "at f16",
        "at q8_0",
        "loads it",
        "token_embd.weight",
        "Q8_0",
    ):
        assert text in done.stdout
    document = json.loads(phonelm("show", tiny_gguf, "--json").stdout)
    assert document["runtime"]["loads"]
    assert "tensors" not in document
    assert document["metadata"]["tokenizer.ggml.tokens"]["length"] > 100


@pytest.mark.parametrize("options", [(), ("--all",), ("--template",), ("--tensors",)])
def test_nothing_of_a_file_steers_the_terminal(
    phonelm: Phonelm, hostile: Path, options: tuple[str, ...]
) -> None:
    done = phonelm("show", hostile, *options)
    assert done.returncode == 0
    assert all(line.replace("\t", "").isprintable() for line in done.stdout.split("\n"))
    assert "\\x1b" in done.stdout


def test_long_values_are_cut_unless_asked_for(phonelm: Phonelm, hostile: Path) -> None:
    assert "(100 elements)" in phonelm("show", hostile).stdout
    assert "97, 98, 99]" in phonelm("show", hostile, "--all").stdout
    document = json.loads(phonelm("show", hostile, "--json", "--all").stdout)
    assert document["metadata"]["numbers"] == list(range(100))
    assert document["metadata"]["infinite"] == "inf"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a GGUF file"),
        (b"PK\x03\x04", "not a GGUF file"),
        (b"GGUF", "is broken (it ends within its header)"),
        (b"GGUF\x03\0\0\0" + b"\xff" * 16, "is broken"),
    ],
)
def test_a_broken_file_is_one_line(phonelm: Phonelm, tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    done = phonelm("show", path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_what_is_nothing_here_says_what_to_do(phonelm: Phonelm, tmp_path: Path) -> None:
    assert "phonelm quantize" in phonelm("show", tmp_path).stderr
    assert "phonelm pull someone/X:Q4_0" in phonelm("show", "someone/X:Q4_0").stderr
    assert "no regular file" in phonelm("show", "/dev/null").stderr
