from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
from tokenizer_files import write_tokenizer

from phonelm._native import Tokenizer

CONTROL, USER_DEFINED, UNUSED = 3, 4, 5


@pytest.fixture
def make(trained: tuple[list[str], list[str]], tmp_path: Path) -> Callable[..., Tokenizer]:
    """A tokenizer of the trained vocabulary and more tokens (text: kind), with changes."""

    def build(extra: dict[str, int] | None = None, **changes: Any) -> Tokenizer:
        tokens, merges = trained
        extra = extra or {}
        types = [*[1] * len(tokens), *extra.values()]
        values = {"tokens": [*tokens, *extra], "merges": merges, "types": types, **changes}
        return Tokenizer.from_gguf(str(write_tokenizer(tmp_path / "made.gguf", **values)))

    return build


def test_longest_special_token_wins_and_user_defined_are_always_cut(
    make: Callable[..., Tokenizer], trained: tuple[list[str], list[str]]
) -> None:
    extra = {"<|a|>": CONTROL, "<|a|>b": CONTROL, "<tool>": USER_DEFINED, "<none>": UNUSED}
    tokenizer = make(extra)
    first = len(trained[0])
    short, long, tool, unused = range(first, first + 4)
    assert tokenizer.encode("<|a|>b<|a|><tool>", parse_special=True) == [long, short, tool]
    plain = tokenizer.encode("<|a|><tool>")
    assert plain[-1] == tool
    assert short not in plain
    assert tokenizer.decode(plain) == b"<|a|><tool>"
    assert unused not in tokenizer.encode("<none>", parse_special=True)
    assert [tokenizer.is_special(index) for index in range(first, first + 4)] == [True, True, False, True]
    assert tokenizer.token_bytes(unused) == b""


def test_stop_ids_are_eos_eot_and_the_usual_names(
    make: Callable[..., Tokenizer], trained: tuple[list[str], list[str]]
) -> None:
    first = len(trained[0])
    extra = dict.fromkeys(["<|end|>", "<stop>", "<turn>", "<|im_end|>"], CONTROL)
    tokenizer = make(extra, eos=first + 1, eot=first + 2)
    assert tokenizer.stop_ids == [first + 1, first + 2, first + 3, first]
    assert tokenizer.eos_id == first + 1
    assert tokenizer.bos_id == -1


@pytest.mark.parametrize("kind", ["UINT32", "INT32", "INT64", "UINT64"])
@pytest.mark.parametrize("name", ["bos", "eos", "eot", "eom", "padding", "unknown"])
def test_none_is_no_token(make: Callable[..., Tokenizer], kind: str, name: str) -> None:
    """llama.cpp writes its LLAMA_TOKEN_NULL, which is -1, where a model has no such token."""
    largest = 2 ** int(kind[-2:]) - 1
    none = largest if kind[0] == "U" else -1
    made = make(more={f"tokenizer.ggml.{name}_token_id": (none, kind)})
    assert (made.bos_id, made.eos_id, made.stop_ids) == (-1, -1, make().stop_ids)


@pytest.mark.parametrize("rule", [None, ""])
def test_without_a_name_the_rule_is_default(make: Callable[..., Tokenizer], rule: str | None) -> None:
    found, default, other = make(rule=rule), make(rule="default"), make(rule="smollm")
    text = "12345 hats, (x+y)->z == don't\n\n"
    assert found.encode(text) == default.encode(text) != other.encode(text)


def test_ends_beyond_those_of_gguf(make: Callable[..., Tokenizer]) -> None:
    key = "phonelm.tokenizer.stop_token_ids"
    assert make(eos=9, eot=8, eom=7, more={key: ([6, 9, 5], "ARRAY")}).stop_ids == [9, 8, 7, 6, 5]
    with pytest.raises(ValueError, match=f"{key} has 70000, which is no token"):
        make(more={key: ([70000], "ARRAY")})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"tokens": ["a", "b", "a"], "types": None, "merges": []}, r"tokens has 'a' twice \(0 and 2\)"),
        ({"tokens": ["a", "", "b"], "types": None, "merges": []}, r"tokens\[1\] is empty"),
        ({"types": [1, 1]}, r"token_type has 2 entries for \d+ tokens"),
        ({"tokens": ["a"], "types": [9], "merges": []}, r"token_type\[0\] is 9, not a token type"),
        ({"merges": ["a b", "q zzz"]}, r"merges\[\d\] '.*' is of or makes a token that is not in"),
        ({"merges": ["ab"]}, r"merges\[0\] 'ab' is not two tokens"),
        ({"merges": ["i n", "i n"]}, r"merges\[1\] 'i n' is there twice"),
        ({"eos": 70000}, r"eos_token_id is 70000, outside the vocabulary"),
        ({"padding": 70000}, r"padding_token_id is 70000, outside the vocabulary"),
        (
            {"rule": "deepseek-llm"},
            r"pre-tokenizer 'deepseek-llm' .* is not supported; these are: gpt-2, .*qwen2",
        ),
    ],
)
def test_broken_vocabulary_is_refused_by_its_key(
    make: Callable[..., Tokenizer], changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        make(**changes)


def test_another_tokenizer_model_is_refused(tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "rwkv.gguf", "llama")
    writer.add_tokenizer_model("rwkv")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(ValueError, match=r"tokenizer model 'rwkv' .* is not supported"):
        Tokenizer.from_gguf(str(tmp_path / "rwkv.gguf"))


def test_wrong_arguments_are_refused(make: Callable[..., Tokenizer]) -> None:
    tokenizer = make()
    for wrong in (-1, tokenizer.vocab_size):
        for call in (tokenizer.token_bytes, tokenizer.is_special, lambda index: tokenizer.decode([index])):
            with pytest.raises(ValueError, match=f"token {wrong} is outside the vocabulary"):
                call(wrong)
    with pytest.raises(TypeError):
        tokenizer.encode(7)
    with pytest.raises(UnicodeEncodeError):
        tokenizer.encode("\ud800")
