from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_files import STDLIB, hf_tokenizer, write_tokenizer
from tokenizer_texts import TEXTS, mixed_texts
from tokenizers import Tokenizer as HfTokenizer

from phonelm._native import Tokenizer

CONTROL = 3
NAMES = ("gpt-2", "smollm", "default", "llama-bpe", "dbrx", "deepseek-r1-qwen", "qwen35", "gpt-4o", "tekken")
# From src/llama-vocab.cpp of llama.cpp: the names of a pre-tokenizer, then of types with one expression.
OTHER_NAMES = {
    "gpt-2": [
        "phi-2",
        "jina-es",
        "jina-de",
        "gigachat",
        "jina-v2-es",
        "jina-v2-de",
        "a.x-4.0",
        "mellum",
        "modern-bert",
        "exaone4",
        "mpt",
        "olmo",
        "jais",
        "trillion",
        "granite-docling",
    ],
    "smollm": ["starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
    "llama-bpe": [
        "llama3",
        "llama-v3",
        "falcon3",
        "falcon-h1",
        "pixtral",
        "midm-2.0",
        "lfm2",
        "jina-v5-nano",
    ],
    "dbrx": ["smaug-bpe", "glm4", "chatglm-bpe"],
    "deepseek-r1-qwen": ["kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2"],
    "gpt-4o": ["llama4", "kanana2", "talkie", "minimax-m2"],
}
RULES = pytest.mark.parametrize("rule", NAMES)
ALIKE_TEXTS = (
    "the cat's 12345 hats, I'LL 3.14159!  two  spaces\n\n \u00e9\u0301 a\u4e2d\u6587b 7\u0663 CamelCase /\n",
    (STDLIB / "typing.py").read_text(encoding="utf-8")[:20_000],
)


@pytest.fixture(scope="module")
def real(smollm2_gguf: Path) -> Tokenizer:
    return Tokenizer.from_gguf(str(smollm2_gguf))


@pytest.fixture(scope="module")
def real_vocabulary(smollm2_gguf: Path) -> tuple[list[str], list[str], list[int]]:
    fields = gguf.GGUFReader(smollm2_gguf).fields
    names = ("tokens", "merges", "token_type")
    tokens, merges, types = (fields[f"tokenizer.ggml.{name}"].contents() for name in names)
    return tokens, merges, types


@pytest.fixture(scope="module")
def real_hf(real_vocabulary: tuple[list[str], list[str], list[int]]) -> HfTokenizer:
    """The same vocabulary without its special tokens."""
    tokens, merges, _ = real_vocabulary
    return hf_tokenizer(tokens, merges, "smollm")


@pytest.fixture(scope="module")
def real_hf_special(real_vocabulary: tuple[list[str], list[str], list[int]]) -> HfTokenizer:
    tokens, merges, types = real_vocabulary
    tokenizer = hf_tokenizer(tokens, merges, "smollm")
    tokenizer.add_special_tokens(
        [token for token, kind in zip(tokens, types, strict=True) if kind == CONTROL]
    )
    return tokenizer


def test_equals_hugging_face_on_mixed_text(real: Tokenizer, real_hf: HfTokenizer) -> None:
    texts = mixed_texts(5_000_000)
    for text, expected in zip(texts, real_hf.encode_batch_fast(texts, add_special_tokens=False), strict=True):
        assert real.encode(text) == expected.ids


@settings(max_examples=500, deadline=None)
@given(text=TEXTS)
def test_equals_hugging_face_on_random_unicode(real: Tokenizer, real_hf: HfTokenizer, text: str) -> None:
    assert real.encode(text) == real_hf.encode(text, add_special_tokens=False).ids


@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_special_tokens_equal_hugging_face(real: Tokenizer, real_hf_special: HfTokenizer, text: str) -> None:
    expected = real_hf_special.encode(text, add_special_tokens=False).ids
    assert real.encode(text, parse_special=True) == expected


def test_ids_of_the_real_model(real: Tokenizer) -> None:
    assert (real.vocab_size, real.bos_id, real.eos_id, real.add_bos) == (49152, 1, 2, False)
    assert real.stop_ids == [2, 0]
    assert [index for index in range(100) if real.is_special(index)] == list(range(17))
    assert real.token_bytes(1) == b""
    assert real.token_bytes(1, with_special=True) == b"<|im_start|>"
    ids = real.encode("<|im_start|>user\nHi<|im_end|>", parse_special=True)
    assert real.decode(ids) == b"user\nHi"
    assert real.decode(ids, with_special=True) == b"<|im_start|>user\nHi<|im_end|>"


def test_byte_without_token_is_left_out_as_by_hugging_face(real: Tokenizer, real_hf: HfTokenizer) -> None:
    assert real.encode("!\x04=") == real.encode("!=") == real_hf.encode("!\x04=").ids


@pytest.fixture(scope="module")
def pair(
    trained: tuple[list[str], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], tuple[Tokenizer, HfTokenizer]]:
    """Ours and Hugging Face's of the trained vocabulary, by pre-tokenizer."""
    folder = tmp_path_factory.mktemp("trained")
    both = {}
    for rule in NAMES:
        path = write_tokenizer(folder / f"{rule}.gguf", *trained, rule=rule)
        both[rule] = (Tokenizer.from_gguf(str(path)), hf_tokenizer(*trained, rule))
    return both.__getitem__


@pytest.mark.parametrize("name", [name for names in OTHER_NAMES.values() for name in names])
def test_another_name_of_a_rule(
    pair: Callable[[str], tuple[Tokenizer, HfTokenizer]],
    trained: tuple[list[str], list[str]],
    tmp_path: Path,
    name: str,
) -> None:
    rule = next(rule for rule, names in OTHER_NAMES.items() if name in names)
    ours = Tokenizer.from_gguf(str(write_tokenizer(tmp_path / "a.gguf", *trained, rule=name)))
    for text in ALIKE_TEXTS:
        assert ours.encode(text) == pair(rule)[1].encode(text, add_special_tokens=False).ids
    with_bos = write_tokenizer(tmp_path / "b.gguf", *trained, rule=name, bos=1)
    assert Tokenizer.from_gguf(str(with_bos)).add_bos == (rule in ("llama-bpe", "tekken"))


@RULES
@settings(deadline=None)
@given(text=TEXTS)
def test_every_rule_equals_hugging_face(
    pair: Callable[[str], tuple[Tokenizer, HfTokenizer]], rule: str, text: str
) -> None:
    ours, theirs = pair(rule)
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


def probes(code_points: Iterable[int]) -> Iterator[str]:
    """Each character beside a letter, a number, a mark and white space."""
    for c in map(chr, code_points):
        yield f"a{c}{c}1{c}2!{c} {c}  {c}\n"


def class_borders() -> Iterator[int]:
    """Code points where the Unicode category of this Python changes, and their neighbours."""
    for point in range(1, 0x110000):
        changes = unicodedata.category(chr(point - 1)) != unicodedata.category(chr(point))
        if changes and not 0xD7FF <= point <= 0xE000:
            yield from (point - 1, point)


@RULES
def test_classes_equal_hugging_face_at_their_borders(
    pair: Callable[[str], tuple[Tokenizer, HfTokenizer]], rule: str
) -> None:
    ours, theirs = pair(rule)
    texts = list(probes(class_borders()))
    for text, expected in zip(texts, theirs.encode_batch_fast(texts, add_special_tokens=False), strict=True):
        assert ours.encode(text) == expected.ids, ascii(text)


@pytest.mark.slow
@RULES
def test_classes_equal_hugging_face_for_every_assigned_code_point(
    pair: Callable[[str], tuple[Tokenizer, HfTokenizer]], rule: str
) -> None:
    ours, theirs = pair(rule)
    # The planes between hold no assigned character in any version of Unicode.
    points = chain(range(0xD800), range(0xE000, 0x40000), range(0xE0000, 0xE1000))
    all_probes = probes(points)
    while texts := list(islice(all_probes, 50_000)):
        found = theirs.encode_batch_fast(texts, add_special_tokens=False)
        assert [ours.encode(text) for text in texts] == [encoding.ids for encoding in found]


@RULES
@settings(deadline=None)
@given(
    data=st.one_of(
        st.binary(),
        TEXTS.map(str.encode),
        st.lists(st.sampled_from([b"\xf0\x9f", b"\xed\xa0\x80", b" a", b"\xff"])).map(b"".join),
    )
)
def test_any_bytes_come_back(
    pair: Callable[[str], tuple[Tokenizer, HfTokenizer]], rule: str, data: bytes
) -> None:
    ours, _ = pair(rule)
    ids = ours.encode(data)
    assert ours.decode(ids) == data
    assert b"".join(ours.token_bytes(index) for index in ids) == data


@pytest.mark.parametrize("word", ["a" * 49, "ab" * 300, "letters" * 100])
def test_long_words_equal_hugging_face(
    pair: Callable[[str], tuple[Tokenizer, HfTokenizer]], word: str
) -> None:
    ours, theirs = pair("gpt-2")
    letters = list(word * 3)
    random.Random(0).shuffle(letters)
    for text in (word, "".join(letters)):
        assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("unit", ["a", "\u00e9", " ", "<", "<|im_", "'", "7"])
def test_a_megabyte_without_a_border_ends(real: Tokenizer, unit: str) -> None:
    text = unit * (1_000_000 // len(unit.encode()))
    assert real.decode(real.encode(text, parse_special=True)) == text.encode()


def test_threads_share_a_tokenizer(pair: Callable[[str], tuple[Tokenizer, HfTokenizer]]) -> None:
    ours, _ = pair("smollm")
    texts = [path.read_text(encoding="utf-8") for path in sorted(STDLIB.glob("a*.py"))]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ours.encode, texts * 4)) == [ours.encode(text) for text in texts] * 4


# Letters with marks whole and in parts, more than one mark, Hangul's syllables and their parts.
NFC_PARTS = [
    "e\u0301",
    "\u0301",
    "\u0323",
    "é",
    "ệ",
    "\u212b",
    "\u1112\u1161\u11ab",
    "\u1161",
    "가",
    "\u0345",
]


@settings(deadline=None)
@given(text=st.one_of(TEXTS, st.lists(st.sampled_from([*NFC_PARTS, "a", "<"]), max_size=12).map("".join)))
def test_qwen_brings_texts_to_form_c(
    trained: tuple[list[str], list[str]], qwen2: tuple[Tokenizer, HfTokenizer], text: str
) -> None:
    ours, theirs = qwen2
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.fixture(scope="module")
def qwen2(
    trained: tuple[list[str], list[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, HfTokenizer]:
    path = write_tokenizer(tmp_path_factory.mktemp("qwen2") / "qwen2.gguf", *trained, rule="qwen2")
    return Tokenizer.from_gguf(str(path)), hf_tokenizer(*trained, "qwen2")


def test_form_c_of_each_character_is_hugging_faces(qwen2: tuple[Tokenizer, HfTokenizer]) -> None:
    ours, theirs = qwen2
    for point in chain(range(0xD800), range(0xE000, 0x30000)):
        assert ours.decode(ours.encode(chr(point))).decode() == theirs.normalizer.normalize_str(chr(point))


def test_bytes_that_are_no_text_pass_form_c(qwen2: tuple[Tokenizer, HfTokenizer]) -> None:
    ours, _ = qwen2
    assert ours.decode(ours.encode(b"\xffe\xcc\x81\xc3")) == b"\xff\xc3\xa9\xc3"
