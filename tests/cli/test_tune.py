"""`phonelm tune`, as typed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Phonelm = Callable[..., subprocess.CompletedProcess[str]]


def _chats(path: Path, count: int = 8) -> Path:
    rows = [
        {"messages": [{"role": "user", "content": f"hi {n}"}, {"role": "assistant", "content": "hello"}]}
        for n in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.slow
def test_a_base_model_is_tuned_and_quantized(phonelm: Phonelm, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from phonelm.data.tokenizer import save_tokenizer, train_tokenizer

    base = tmp_path / "base"
    base.mkdir()
    save_tokenizer(train_tokenizer(["hi hello and good day " * 30], 300), base)
    config = transformers.LlamaConfig(
        vocab_size=320, hidden_size=64, intermediate_size=96, num_hidden_layers=1, num_attention_heads=2
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(base)
    chats = _chats(tmp_path / "chats.jsonl")
    options = ["--length", "64", "--batch", "1", "--prompt", "hi", "--lora", "4"]
    line = ["tune", "instruct", "--base", base, "--data", chats, "--out", tmp_path / "tuned", *options]
    done = phonelm(*line, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["samples"][0]["prompt"] == "hi"
    assert "is trained already" in phonelm(*line).stderr
    made = phonelm("quantize", tmp_path / "tuned", "-o", tmp_path / "tuned.gguf", "--type", "f16")
    assert made.returncode == 0, made.stderr
    assert phonelm("chat", tmp_path / "tuned.gguf", "-p", "hi", "--max-tokens", "3").returncode == 0
    # What came out is a base model too, also as a file.
    more = tmp_path / "more"
    again = ["tune", "instruct", "--base", tmp_path / "tuned.gguf", "--data", chats, "--out", more]
    done = phonelm(*again, *options)
    assert done.returncode == 0, done.stderr
    assert len(list(more.glob("base-*/model.safetensors"))) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["poetry", "--base", "x", "--data", "chats.jsonl"], 2, "poetry"),
        (["instruct", "--base", "nowhere", "--data", "chats.jsonl"], 1, "nowhere"),
        (["instruct", "--base", ".", "--data", "none.jsonl"], 1, "none.jsonl does not exist"),
        (["instruct", "--base", ".", "--data", "chats.jsonl", "--epochs", "0"], 1, "epochs"),
    ],
)
def test_what_cannot_be_is_one_line(
    phonelm: Phonelm,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    _chats(tmp_path / "chats.jsonl")
    done = phonelm("tune", *words, "--out", tmp_path / "out")
    assert done.returncode == code
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
