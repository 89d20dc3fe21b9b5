from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from phonelm.engine import load
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
        (["-p", "x", "--context", str(2**70)], "1 to 96"),
        (["-p", "x", "--threads", "0"], "threads is 0; take 1 to 256"),
        (["-p", "x", "--threads", str(2**40)], "take 1 to 256"),
        (["-p", "x", "--seed", str(2**64)], "from 0 to 2^64 - 1"),
        (["-p", "x", "--temperature", "1e39"], "up to 3.4e+38"),
        (["-p", "x", "--repeat-penalty", "0"], "repeat_penalty is 0"),
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
    assert document["complete"] is True
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


def test_an_answer_cut_before_its_grammar_ends_is_said(
    phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path
) -> None:
    pytest.importorskip("llguidance")
    (tmp_path / "pet.json").write_text('{"enum": ["catcatcat"]}')
    arguments = ["generate", tiny_gguf, "-p", "x", "--json-schema", tmp_path / "pet.json", "-n", 4]
    note = (
        "phonelm: the answer was cut after 4 tokens, before its grammar allows an end (raise --max-tokens)\n"
    )
    streamed = phonelm(*arguments)
    assert (streamed.returncode, streamed.stdout, streamed.stderr) == (0, '"cat\n', note)
    document = phonelm(*arguments, "--json")
    assert (document.returncode, document.stderr) == (0, note)
    assert json.loads(document.stdout)["complete"] is False
    stopped = phonelm(*arguments[:-1], 50, "--stop", "tc")
    assert "by a stop text" in stopped.stderr


def test_stop_texts_end_the_answer(phonelm: Phonelm, tiny_gguf: Path) -> None:
    arguments = ["generate", tiny_gguf, "-p", "hello", "-n", 30, "--temperature", 0, "--json"]
    text = json.loads(phonelm(*arguments).stdout)["text"]
    document = json.loads(phonelm(*arguments, "--stop", "no such", "--stop", text[5:7]).stdout)
    assert document["text"] == text[: text.index(text[5:7])]
    assert (document["finish_reason"], document["complete"]) == ("stop", True)
    refused = phonelm(*arguments, "--stop", "")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "a stop text is empty" in refused.stderr


def test_the_speed_is_said_on_request(phonelm: Phonelm, tiny_gguf: Path) -> None:
    done = phonelm("generate", tiny_gguf, "-p", "hello", "-n", 4, "--temperature", 0, "-v")
    assert re.fullmatch(
        r"5 tokens of the prompt at [\d,.]+ tokens/s, 4 tokens made at [\d,.]+ tokens/s\n", done.stderr
    )
    one = phonelm("generate", tiny_gguf, "-p", "h", "-n", 1, "--temperature", 0, "-v")
    assert re.fullmatch(r"1 token of the prompt at [\d,.]+ tokens/s, 1 token made\n", one.stderr)


def test_special_tokens_of_the_prompt_on_request(phonelm: Phonelm, tiny_gguf: Path) -> None:
    arguments = ["generate", tiny_gguf, "-n", 1, "--json", "-p", "a<|endoftext|>"]
    assert json.loads(phonelm(*arguments).stdout)["prompt_tokens"] == 14
    assert json.loads(phonelm(*arguments, "--parse-special").stdout)["prompt_tokens"] == 2


def test_penalties_reach_the_sampler(phonelm: Phonelm, tiny_gguf: Path) -> None:
    options = {"repeat_penalty": 1.5, "presence_penalty": 0.25, "frequency_penalty": 0.125}
    options |= {"repeat_last_n": 9, "typical_p": 0.5}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    common = {"max_tokens": 20, "temperature": 1.0, "top_p": 0.95, "seed": 2}
    with load(tiny_gguf, num_threads=1) as model:
        expected = model.generate("hello", **common, **options)
        assert expected.text != model.generate("hello", **common).text
    arguments = ["-p", "hello", "-n", 20, "--temperature", 1, "--seed", 2, "--threads", 1, "--json"]
    assert json.loads(phonelm("generate", tiny_gguf, *arguments, *words).stdout)["tokens"] == expected.tokens


def test_biases_dry_and_xtc_reach_the_sampler(phonelm: Phonelm, tiny_gguf: Path) -> None:
    options = {"dry_multiplier": 0.8, "dry_base": 2.0, "dry_allowed_length": 1, "dry_penalty_last_n": 30}
    options |= {"xtc_probability": 0.5, "xtc_threshold": 0.01}
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    words += ["--logit-bias", "97+2.5", "--logit-bias", "98-inf", "--dry-sequence-breaker", "a"]
    common = {"max_tokens": 30, "temperature": 1.0, "top_p": 0.95, "seed": 2}
    given = {**options, "logit_bias": {97: 2.5, 98: False}, "dry_sequence_breakers": ["a"]}
    with load(tiny_gguf, num_threads=1) as model:
        expected = model.generate("hello", **common, **given)
        assert expected.text
    arguments = ["-p", "hello", "-n", 30, "--temperature", 1, "--seed", 2, "--threads", 1, "--json"]
    assert json.loads(phonelm("generate", tiny_gguf, *arguments, *words).stdout)["tokens"] == expected.tokens
    for wrong in ("98", "x+1", "98+warm", "98*2", "98+inf"):
        refused = phonelm("generate", tiny_gguf, *arguments, "--logit-bias", wrong)
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (1, "", 1), wrong


@pytest.mark.parametrize("words", [["--top-k", 3 * 10**9], ["-n", 10**12], ["--repeat-last-n", 10**20]])
def test_numbers_beyond_the_core_s_types_work(phonelm: Phonelm, tiny_gguf: Path, words: list[object]) -> None:
    done = phonelm("generate", tiny_gguf, "-p", "x" * 90, "--temperature", 1, "--seed", 1, *words)
    assert done.returncode == 0, done.stderr
