"""The tokenizers of real models against Hugging Face's `tokenizers` and llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_vocabularies import LLAMA_CPP_NAMES, NPM_SHA256, export, hugging_face_folder, llama_cpp_vocabulary
from tokenizer_texts import CHARACTERS, mixed_texts
from tokenizers import Tokenizer as HfTokenizer

from phonelm._native import Tokenizer

pytestmark = pytest.mark.slow
NAMES = pytest.mark.parametrize("name", list(NPM_SHA256))
Pair = Callable[[str], tuple[Tokenizer, HfTokenizer]]
SPECIAL = [
    "<bos>",
    "<end_of_turn>",
    "</s>",
    "<|eot_id|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<unk>",
    "\n\n",
    "   ",
]
# A literal U+2581 is taken for a space after Gemma's runs of spaces are cut out, as by llama.cpp; by Hugging
# Face before. Runs of one character may be merged from another side: SentencePiece takes the leftmost.
TEXTS = st.lists(st.one_of(CHARACTERS, st.sampled_from(SPECIAL)), max_size=20).map("".join)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Ours, made from the model's tokenizer.json, and Hugging Face's of the same file."""
    folder = tmp_path_factory.mktemp("real")

    @cache
    def build(name: str) -> tuple[Tokenizer, HfTokenizer]:
        source = hugging_face_folder(name)
        ours = Tokenizer.from_gguf(str(export(source, folder / f"{name}.gguf")))
        return ours, HfTokenizer.from_file(str(source / "tokenizer.json"))

    return build


@NAMES
def test_equals_hugging_face_on_mixed_text(pair: Pair, name: str) -> None:
    ours, theirs = pair(name)
    texts = [text.replace("\u2581", "_") for text in mixed_texts(5_000_000)]
    theirs.encode_special_tokens = True
    for text, expected in zip(texts, theirs.encode_batch_fast(texts, add_special_tokens=False), strict=True):
        assert ours.encode(text) == expected.ids
    theirs.encode_special_tokens = False


@NAMES
@settings(max_examples=1000, deadline=None)
@given(text=TEXTS)
def test_equals_hugging_face_on_random_unicode(pair: Pair, name: str, text: str) -> None:
    ours, theirs = pair(name)
    text = text.replace("\u2581", "_")
    expected = theirs.encode(text, add_special_tokens=False).ids
    assert ours.encode(text, parse_special=True) == expected


@NAMES
@pytest.mark.parametrize(
    "unit", ["a", "\u00e9", " ", "\u0301", "\u4e2d", "a ", "<", "\n", "'", "7", "\U0001f642"]
)
def test_a_megabyte_without_a_border_ends(pair: Pair, name: str, unit: str) -> None:
    ours, _ = pair(name)
    text = unit * (1_000_000 // len(unit.encode()))
    assert ours.decode(ours.encode(text, parse_special=True)) == text.encode()


@pytest.mark.parametrize("name", LLAMA_CPP_NAMES)
def test_equals_llama_cpp(name: str) -> None:
    path = llama_cpp_vocabulary(name)
    tokenizer = Tokenizer.from_gguf(str(path))
    texts = path.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    lines = path.with_suffix(".gguf.out").read_text().split("\n")
    for text, line in zip(texts, lines[: len(texts)], strict=True):
        ids = tokenizer.encode(text)
        assert ids == [int(token) for token in line.split()]
        assert tokenizer.decode(ids) == text.encode()


def test_ends_of_turns_are_known(pair: Pair) -> None:
    ends = {"gemma3": "<end_of_turn>", "llama3": "<|eot_id|>", "qwen2_5": "<|im_end|>", "llama2": "</s>"}
    for name, text in ends.items():
        ours, _ = pair(name)
        (token,) = ours.encode(text, parse_special=True)
        assert token in ours.stop_ids
    gemma, _ = pair("gemma3")
    (tag,) = gemma.encode("</s>")
    assert tag not in gemma.stop_ids  # a tag of HTML there
