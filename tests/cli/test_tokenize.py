from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from phonelm.engine import load, load_tokenizer
from phonelm.formats import write_gguf

Phonelm = Callable[..., subprocess.CompletedProcess[str]]
TEXT = "Grüße — 東京 🙂\n<|im_end|> end"


@pytest.fixture(params=["tiny_gguf", "smollm2_gguf", "gemma3_gguf"])
def model(request: pytest.FixtureRequest) -> Path:
    path: Path = request.getfixturevalue(request.param)
    return path


def test_the_tokens_are_those_that_a_prompt_is_evaluated_as(phonelm: Phonelm, model: Path) -> None:
    with load(model) as loaded:
        for words, expected in (
            ([], loaded.tokenizer.encode_prompt(TEXT)),
            (["--no-bos"], loaded.tokenizer.encode(TEXT)),
            (["--parse-special"], loaded.tokenizer.encode_prompt(TEXT, parse_special=True)),
        ):
            arguments = ["tokenize", model, TEXT, *words]
            assert list(map(int, phonelm(*arguments, "--ids").stdout.split())) == expected
            assert phonelm(*arguments, "--count").stdout == f"{len(expected)}\n"
            document = json.loads(phonelm(*arguments, "--json").stdout)
            assert (document["text"], document["count"]) == (TEXT, len(expected))
            assert [token["id"] for token in document["tokens"]] == expected
            lines = phonelm(*arguments).stdout.splitlines()
            assert [int(line.split()[0]) for line in lines] == expected


def test_pieces_are_the_bytes_of_the_text(phonelm: Phonelm, tiny_gguf: Path) -> None:
    tokens = json.loads(phonelm("tokenize", tiny_gguf, TEXT, "--json").stdout)["tokens"]
    raw = b"".join(bytes(token["bytes"]) if "bytes" in token else token["piece"].encode() for token in tokens)
    assert raw.decode() == TEXT
    lines = phonelm("tokenize", tiny_gguf, "a\n\xfc").stdout.splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ['"a"', '"\\n"', "c3", "bc"]


def test_back_to_text(phonelm: Phonelm, smollm2_gguf: Path) -> None:
    ids = phonelm("tokenize", smollm2_gguf, TEXT, "--ids", "--parse-special").stdout
    assert phonelm("tokenize", smollm2_gguf, "--detokenize", ids, "--parse-special").stdout == TEXT + "\n"
    bare = phonelm("tokenize", smollm2_gguf, "--detokenize", text=f"[{ids.replace(' ', ', ')}]\n")
    assert bare.stdout == TEXT.replace("<|im_end|>", "") + "\n"
    document = json.loads(phonelm("tokenize", smollm2_gguf, "--detokenize", "1 2", "--json").stdout)
    assert document["tokens"] == [1, 2]


def test_no_weights_are_needed(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    import gguf

    reader = gguf.GGUFReader(tiny_gguf)
    metadata = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    write_gguf(tmp_path / "bare.gguf", {key: value for key, value in metadata.items() if value != []}, [])
    assert phonelm("tokenize", tmp_path / "bare.gguf", "ab", "--ids").stdout == "97 98\n"
    assert load_tokenizer(tmp_path / "bare.gguf").encode("ab") == [97, 98]


def test_the_text_comes_from_many_places(phonelm: Phonelm, tiny_gguf: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("ab\n")
    for words, text in (
        (["ab"], ""),
        (["--prompt-file", tmp_path / "text"], ""),
        (["-"], "ab\n"),
        ([], "ab"),
    ):
        assert phonelm("tokenize", tiny_gguf, *words, "--ids", text=text).stdout == "97 98\n"
    assert phonelm("tokenize", tiny_gguf, "", "--count").stdout == "0\n"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["a", "--ids", "--count"], 2, "exclude each other"),
        (["1", "--detokenize", "--no-bos"], 2, "--detokenize takes neither"),
        (["a", "--prompt-file", "b"], 2, "given twice"),
        (["a b", "--detokenize"], 1, "no token ids"),
        (["1000000", "--detokenize"], 1, "a token id is 1000000"),
        (["-5", "--detokenize"], 2, "-5"),
    ],
)
def test_wrong_use_is_one_line(
    phonelm: Phonelm, tiny_gguf: Path, words: list[object], code: int, message: str
) -> None:
    done = phonelm("tokenize", tiny_gguf, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
