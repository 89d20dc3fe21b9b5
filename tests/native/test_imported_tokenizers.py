"""Tokenizers of GGUF files as tokenizer.json: Hugging Face's library makes the runtime's ids of any text."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from real_vocabularies import LLAMA_CPP_NAMES, NPM_SHA256, export, hugging_face_folder, llama_cpp_vocabulary
from test_sentencepiece import BYTE, BYTES, CONTROL, NORMAL, SPACE, UNKNOWN, USER_DEFINED, write
from tokenizer_files import train_vocabulary, write_tokenizer
from tokenizer_texts import CHARACTERS, TEXTS
from tokenizers import Tokenizer as HfTokenizer

from phonelm._native import Tokenizer, first_pre_tokenizer_name
from phonelm.formats.tokenizer_export import tokenizer_metadata
from phonelm.formats.tokenizer_import import import_tokenizer

Pair = tuple[Tokenizer, HfTokenizer]
RULES = (
    *("gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "qwen35", "deepseek-r1-qwen", "gpt-4o", "tekken"),
    "default",
)
PIECES = [SPACE, *"abthe中é", "th", "he", "the", SPACE + "the", "ab", "abt", SPACE + "a", "e" + SPACE]
SPECIAL = ["<s>", "</s>", "<unk>", "<|im_end|>", "<tool>", "   "]


def pair_of(path: Path) -> Pair:
    document = json.dumps(import_tokenizer(path, 128).document)
    return Tokenizer.from_gguf(str(path)), HfTokenizer.from_str(document)


def assert_same_ids(pair: Pair, text: str) -> None:
    ours, theirs = pair
    expected = ours.encode(text, parse_special=True)
    assert theirs.encode(text, add_special_tokens=False).ids == expected
    first = [ours.bos_id] if ours.add_bos else []
    assert theirs.encode(text).ids == [*first, *expected]
    theirs.encode_special_tokens = True
    assert theirs.encode(text, add_special_tokens=False).ids == ours.encode(text)
    theirs.encode_special_tokens = False


@pytest.fixture(scope="module")
def byte_level(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    folder, (tokens, merges) = tmp_path_factory.mktemp("bpe"), train_vocabulary()
    more = ["<s>", "<|im_end|>", "<tool>", f"[PAD{len(tokens) + 3}]"]
    types = [*[NORMAL] * len(tokens), CONTROL, CONTROL, USER_DEFINED, 5]

    @cache
    def build(rule: str) -> Pair:
        texts, first = [*tokens, *more], len(tokens)
        path = folder / f"{rule}.gguf"
        write_tokenizer(path, texts, merges, types, rule, bos=first, eos=first + 1)
        return pair_of(path)

    return build


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=60)
@given(
    text=st.one_of(TEXTS, st.lists(st.one_of(CHARACTERS, st.sampled_from(SPECIAL)), max_size=12).map("".join))
)
def test_byte_level_ids(byte_level: Callable[[str], Pair], rule: str, text: str) -> None:
    assert_same_ids(byte_level(rule), text)


def test_other_names_of_a_rule_are_known() -> None:
    assert [first_pre_tokenizer_name(name) for name in RULES] == list(RULES)
    assert first_pre_tokenizer_name("smaug-bpe") == "dbrx"
    assert first_pre_tokenizer_name("no such name") == ""


def sentencepiece(path: Path, scores: list[float] | None = None, **keys: Any) -> Path:
    more = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL, "<tool>": USER_DEFINED, "   ": USER_DEFINED}
    texts = [*PIECES, *more, *BYTES]
    kinds = [*[NORMAL] * len(PIECES), *more.values(), *[BYTE] * 256]
    scores = scores or [-float(7 * index % 16) for index in range(len(PIECES))]
    ids = {"unknown_token_id": len(PIECES), "bos_token_id": len(PIECES) + 1, "eos_token_id": len(PIECES) + 2}
    write(path, texts, kinds, [*scores, *[0.0] * (len(texts) - len(PIECES))], **ids, **keys)
    return path


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Pair]:
    folder = tmp_path_factory.mktemp("spm")

    @cache
    def build(architecture: str, prefix: bool) -> Pair:
        path = folder / f"{architecture}-{prefix}.gguf"
        return pair_of(sentencepiece(path, architecture=architecture, add_space_prefix=prefix))

    return build


@pytest.mark.parametrize("architecture", ["llama", "phi3"])
@pytest.mark.parametrize("prefix", [True, False])
@settings(deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=20),
        st.lists(st.sampled_from([*"abthe é中\n", "the", " the", "🙂", *SPECIAL]), max_size=40).map("".join),
    ).filter(lambda text: SPACE not in text)
)
def test_sentencepiece_ids(
    pieces: Callable[[str, bool], Pair], architecture: str, prefix: bool, text: str
) -> None:
    ours, theirs = pieces(architecture, prefix)
    if architecture == "phi3":
        # Hugging Face's library finds a token of spaces also in the white space that another has swallowed.
        text = text.replace("   ", "")
    assert_same_ids((ours, theirs), text)
    ids = ours.encode(text)
    assert theirs.decode(ids, skip_special_tokens=False).encode() == ours.decode(ids, with_special=True)


@settings(deadline=None)
@given(text=st.lists(st.sampled_from(["a", "aa", "aaaaa", "b", " ", "     "]), max_size=30).map("".join))
def test_runs_of_one_character_have_one_score(runs: Pair, text: str) -> None:
    """As the runs of spaces of Llama 2: of equals the leftmost is merged first."""
    assert_same_ids(runs, text)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    texts = [SPACE, "a", "b", SPACE + "a", *(SPACE * n for n in (2, 3, 4, 5)), "<unk>", "<s>", "</s>", *BYTES]
    kinds = [*[NORMAL] * 8, UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256]
    scores = [*[-9.0, -9.0, -9.0, -1.0], *[-1e9] * 4, *[0.0] * 259]
    ids = {"unknown_token_id": 8, "bos_token_id": 9, "eos_token_id": 10}
    path = tmp_path_factory.mktemp("runs") / "model.gguf"
    write(path, texts, kinds, scores, **ids)
    return pair_of(path)


def test_pieces_of_one_score_are_refused(tmp_path: Path) -> None:
    path = sentencepiece(tmp_path / "flat.gguf", [-1000.0] * len(PIECES))
    with pytest.raises(ValueError, match="have one score"):
        import_tokenizer(path, 128)


@pytest.mark.parametrize("make", ["bytes", "pieces"])
def test_keys_come_back(tmp_path: Path, make: str) -> None:
    path = tmp_path / "model.gguf"
    if make == "bytes":
        tokens, merges = train_vocabulary()
        write_tokenizer(
            path, [*tokens, "<s>"], merges, [*[NORMAL] * len(tokens), CONTROL], "llama3", bos=len(tokens)
        )
    else:
        sentencepiece(path, add_space_prefix=True)
    found = import_tokenizer(path, 128)
    for name, document in (("tokenizer", found.document), ("tokenizer_config", found.settings)):
        (tmp_path / f"{name}.json").write_text(json.dumps(document))
    metadata = tokenizer_metadata(tmp_path, Tokenizer.from_gguf(str(path)).vocab_size)
    again = import_keys(tmp_path, metadata)
    assert (again.document, again.settings) == (found.document, found.settings)


def import_keys(folder: Path, metadata: dict[str, Any]) -> Any:
    from phonelm.formats import write_gguf

    path = folder / "again.gguf"
    write_gguf(path, {"general.architecture": "llama", **metadata}, [])
    return import_tokenizer(path, 128)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(NPM_SHA256))
def test_real_tokenizers_come_back(tmp_path: Path, name: str) -> None:
    """Hugging Face's own tokenizer.json, and the one that is made of its GGUF file, give the same ids."""
    source = hugging_face_folder(name)
    pair = pair_of(export(source, tmp_path / "model.gguf"))
    theirs = HfTokenizer.from_file(str(source / "tokenizer.json"))

    @settings(deadline=None, max_examples=300)
    @given(text=st.lists(CHARACTERS, max_size=20).map(lambda parts: "".join(parts).replace(SPACE, "_")))
    def check(text: str) -> None:
        assert_same_ids(pair, text)
        assert (
            pair[1].encode(text, add_special_tokens=False).ids
            == theirs.encode(text, add_special_tokens=False).ids
        )

    check()


@pytest.mark.slow
@pytest.mark.parametrize("name", LLAMA_CPP_NAMES)
def test_vocabularies_of_llama_cpp(name: str) -> None:
    path = llama_cpp_vocabulary(name)
    pair = pair_of(path)
    texts = path.with_suffix(".gguf.inp").read_bytes().decode().split("\n__ggml_vocab_test__\n")
    for text in texts:
        assert_same_ids(pair, text)
