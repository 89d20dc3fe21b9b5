"""`phonelm perplexity` and `phonelm compare`."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phonelm.engine import load
from phonelm.evaluate import compare, measure_perplexity, text_windows
from phonelm.formats import write_random_gguf
from shapes import TINY

Phonelm = Callable[..., subprocess.CompletedProcess[str]]
TEXT = "Grüße — 東京 and a text of some hundred bytes, which passes in windows. " * 5


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def other_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Other weights, the same vocabulary."""
    path = tmp_path_factory.mktemp("other") / "other.gguf"
    write_random_gguf(path, TINY, block_type="q4_0", embedding_type="q8_0", seed=2)
    return path


def test_perplexity_as_json(phonelm: Phonelm, tiny_gguf: Path, text: Path) -> None:
    done = phonelm("perplexity", tiny_gguf, "--text", text, "--context", 64, "--stride", 16, "--json")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    document = json.loads(done.stdout)
    with load(tiny_gguf) as model:
        windows = text_windows(model.tokenizer, [TEXT], 64, 16).windows
        expected, _ = measure_perplexity(model, windows)
    assert document["perplexity"] == pytest.approx(expected.perplexity, rel=1e-4)
    assert document["perplexity_error"] == pytest.approx(expected.perplexity_error, rel=1e-2)
    assert document["bits_per_byte"] == pytest.approx(expected.bits_per_byte, rel=1e-4)
    assert document["settings"]["context"] == 64
    assert document["text"] | {"name": ""} == {
        "name": "",
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
        "file_bytes": len(TEXT.encode()),
        "documents": 1,
        "windows": expected.num_windows,
        "tokens": expected.num_tokens,
        "bytes": expected.num_bytes,
        "unscored_tokens": 1,
    }
    assert document["tokens_per_s"] > 0


def test_perplexity_for_a_person(phonelm: Phonelm, tiny_gguf: Path, text: Path) -> None:
    done = phonelm("perplexity", tiny_gguf, "--text", "-", text=TEXT)
    assert done.returncode == 0
    assert "windows of 96 tokens, stride 48" in done.stdout
    assert f"standard input (sha256 {hashlib.sha256(TEXT.encode()).hexdigest()})" in done.stdout
    assert " ± " in done.stdout
    assert "bits per byte" in done.stdout
    assert "1 token not scored" in done.stdout
    few = phonelm("perplexity", tiny_gguf, "--text", text, "--limit-tokens", 40).stdout
    assert "39 tokens scored, 39 bytes, 1 document, 1 window of 96" in few
    assert "±" not in few


def test_documents_of_json_lines_are_apart(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": one}) + "\n" for one in ("first", "second", "x")))
    document = json.loads(phonelm("perplexity", tiny_gguf, "--text", path, "--json").stdout)["text"]
    assert (document["documents"], document["windows"], document["tokens"]) == (3, 2, 9)
    assert document["unscored_tokens"] == 3


def test_compare_as_json(phonelm: Phonelm, tiny_gguf: Path, other_gguf: Path, text: Path) -> None:
    done = phonelm("compare", tiny_gguf, other_gguf, "--text", text, "--json")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    document = json.loads(done.stdout)
    with load(tiny_gguf) as first, load(other_gguf) as second:
        expected = compare(first, second, text_windows(first.tokenizer, [TEXT], 96, 48).windows)
    for name in ("kl_mean", "kl_median", "kl_p99", "kl_max", "top1_agreement", "perplexity_ratio"):
        assert document[name] == pytest.approx(getattr(expected, name), rel=1e-3, abs=1e-3)
    assert document["reference"]["perplexity"] == pytest.approx(expected.reference.perplexity, rel=1e-3)
    assert document["model"]["file_bytes"] == other_gguf.stat().st_size
    assert document["bytes_ratio"] == other_gguf.stat().st_size / tiny_gguf.stat().st_size
    assert document["model"]["speed"]["decode_tok_s"] > 0


def test_compare_for_a_person(phonelm: Phonelm, tiny_gguf: Path, text: Path) -> None:
    done = phonelm("compare", tiny_gguf, tiny_gguf, "--text", text, "--no-speed")
    assert done.returncode == 0
    assert "100.00%" in done.stdout
    assert "1.0000 ± 0.0000" in done.stdout
    assert "KL divergence" in done.stdout
    assert "decode" not in done.stdout
    assert "decode" in phonelm("compare", tiny_gguf, tiny_gguf, "--text", text).stdout


@pytest.mark.parametrize("verb", ["perplexity", "compare"])
@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", [], "is empty; give some text"),
        (b"a", [], "the text has 1 token, none with a token before it"),
        (b"GGUF\0\0", [], "is binary"),
        (b"some \xff", [], "is not UTF-8 (byte 5)"),
        (b"some text", ["--stride", "0"], "stride is 0; take 1 to the context, 96 tokens"),
        (b"some text", ["--context", "32", "--stride", "33"], "stride is 33; take 1 to the context, 32"),
        (b"some text", ["--context", "97"], "context is 97; this model takes 2 to 96"),
        (b"some text", ["--context", "1"], "context is 1"),
        (b"some text", ["--limit-tokens", "1"], "the text has 1 token"),
        (None, [], "no such file or folder"),
    ],
)
def test_bad_input_is_one_line(
    phonelm: Phonelm,
    tiny_gguf: Path,
    tmp_path: Path,
    verb: str,
    content: bytes | None,
    options: list[str],
    message: str,
) -> None:
    path = tmp_path / "text"
    if content is not None:
        path.write_bytes(content)
    models = [tiny_gguf] if verb == "perplexity" else [tiny_gguf, tiny_gguf]
    done = phonelm(verb, *models, "--text", path, *options)
    assert done.returncode == 1
    assert message in done.stderr
    assert (done.stderr.count("\n"), done.stdout) == (1, "")


def test_a_text_is_needed(phonelm: Phonelm, tiny_gguf: Path) -> None:
    done = phonelm("perplexity", tiny_gguf)
    assert done.returncode == 2
    assert "Missing option '--text'" in done.stderr


def test_different_vocabularies(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path, text: Path) -> None:
    other = tmp_path / "wide.gguf"
    config = TINY.model_copy(update={"vocab_size": 320})
    write_random_gguf(other, config, block_type="q8_0", embedding_type="q8_0", seed=1)
    done = phonelm("compare", tiny_gguf, other, "--text", text)
    assert done.returncode == 1
    assert "wide.gguf has a vocabulary of 320 tokens, model.gguf of 288" in done.stderr
    assert done.stderr.count("\n") == 1
