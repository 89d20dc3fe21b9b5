from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from phonelm.formats import write_gguf

Phonelm = Callable[..., subprocess.CompletedProcess[str]]


def test_json_is_one_document_that_tells_all(phonelm: Phonelm, tiny_gguf: Path) -> None:
    arguments = ["generate", tiny_gguf, "-p", "hello", "-n", 8, "--temperature", 1, "--seed", 5, "--json"]
    first, again = phonelm(*arguments), phonelm(*arguments)
    assert first.returncode == 0, first.stderr
    document = json.loads(first.stdout)
    assert document["tokens"] == json.loads(again.stdout)["tokens"]
    assert document["prompt_tokens"] == 5
    assert document["completion_tokens"] == len(document["tokens"]) <= 8
    assert document["finish_reason"] in ("length", "stop")
    assert document["seed"] == 5
    assert document["prefill_tok_s"] > 0


def test_streamed_text_equals_the_documents(phonelm: Phonelm, tiny_gguf: Path) -> None:
    arguments = ["generate", tiny_gguf, "-n", 16, "--temperature", 0]
    streamed = phonelm(*arguments, "-p", "-", text="hello")
    document = json.loads(phonelm(*arguments, "-p", "hello", "--json").stdout)
    assert streamed.stdout == document["text"] + "\n"


def test_a_full_context_is_said(phonelm: Phonelm, tiny_gguf: Path) -> None:
    done = phonelm("generate", tiny_gguf, "-p", "x" * 90, "-n", 50, "--temperature", 0)
    assert done.returncode == 0
    assert "the context of 96 tokens is full" in done.stderr


def test_a_context_that_slides_goes_on(phonelm: Phonelm, tiny_gguf: Path) -> None:
    arguments = ["generate", tiny_gguf, "-p", "x" * 120, "-n", 50, "--temperature", 0, "--json"]
    for kv in ("f16", "q8_0"):
        done = phonelm(*arguments, "--slide", "--kv", kv)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["finish_reason"] in ("length", "stop")
    refused = phonelm(*arguments)
    assert refused.returncode != 0
    assert "120 tokens and the context holds 96" in refused.stderr
    unknown = phonelm(*arguments, "--kv", "q4_0")
    assert "KV cache type 'q4_0' is not one of: f16, q8_0" in unknown.stderr


def test_adapters_change_the_text_by_their_scales(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    rng, name = np.random.default_rng(1), "blk.1.ffn_down.weight"
    pair = {f"{name}.lora_a": (4, 128), f"{name}.lora_b": (64, 4)}
    tensors = [(key, rng.normal(size=shape).astype(np.float32)) for key, shape in pair.items()]
    metadata = {"general.type": "adapter", "adapter.type": "lora", "general.architecture": "llama"}
    path = tmp_path / "a.gguf"
    write_gguf(path, {**metadata, "adapter.lora.alpha": 1.0}, tensors)

    def text(*lora: str) -> str:
        options = [word for one in lora for word in ("--lora", one)]
        done = phonelm("generate", tiny_gguf, "-p", "hello", "-n", 16, "--temperature", 0, *options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert text() == text(f"{path}=0") == text(str(path), f"{path}=-1")
    assert text(str(path)) != text()


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["-p", "x" * 97], "97 tokens and the context holds 96"),
        (["-p", ""], "the prompt is empty"),
        (["-p", "x", "--top-p", "0"], "top_p is 0"),
        (["-p", "x", "--context", "97"], "1 to 96"),
        (["-p", "x", "--threads", "0"], "threads is 0; take 1 to 256"),
        (["-p", "x", "--lora", "nowhere.gguf=1"], "no adapter at nowhere.gguf"),
        (["-p", "x", "--lora", "nowhere.gguf=much"], "PATH=SCALE"),
    ],
)
def test_what_cannot_run_is_refused(
    phonelm: Phonelm, tiny_gguf: Path, extra: list[str], message: str
) -> None:
    done = phonelm("generate", tiny_gguf, *extra)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_json_schema_and_lookup(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    pytest.importorskip("llguidance")
    (tmp_path / "pet.json").write_text('{"enum": ["cat", "dog"]}')
    arguments = [tiny_gguf, "-p", "x", "--json-schema", tmp_path / "pet.json", "--lookup", "--json"]
    done = phonelm("generate", *arguments)
    document = json.loads(done.stdout)
    assert json.loads(document["text"]) in ("cat", "dog")
    assert document["finish_reason"] == "stop"
    assert document["accepted_tokens"] <= document["drafted_tokens"]
    assert done.stderr == ""


@pytest.mark.parametrize(("name", "text"), [("g.gbnf", 'root ::= "yes"\n'), ("g.lark", 'start: "yes"\n')])
def test_grammar_files(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path, name: str, text: str) -> None:
    pytest.importorskip("llguidance")
    (tmp_path / name).write_text(text)
    assert phonelm("generate", tiny_gguf, "-p", "x", "--grammar", tmp_path / name).stdout == "yes\n"


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("--json-schema", '{"not": {}}', "Unimplemented keys"),
        ("--json-schema", "{", "not JSON"),
        ("--grammar", "root ::= [a", "does not parse"),
        ("--grammar", None, "no such file"),
    ],
)
def test_a_grammar_that_does_not_compile_is_refused(
    phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path, option: str, text: str | None, message: str
) -> None:
    pytest.importorskip("llguidance")
    path = tmp_path / "rule"
    if text is not None:
        path.write_text(text)
    done = phonelm("generate", tiny_gguf, "-p", "x", option, path)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_warning_is_one_line(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "nameless.gguf"
    path.write_bytes(tiny_gguf.read_bytes().replace(b"tokenizer.ggml.pre", b"tokenizer.ggml.prX"))
    done = phonelm("generate", path, "-p", "a", "-n", 1)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if "warning" in line.lower()]
    assert line.startswith("phonelm: warning: nameless.gguf names no pre-tokenizer")
