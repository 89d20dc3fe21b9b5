"""GGUF's tokenizer model `llama` against a plain form of the algorithm, and what it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonelm._native import Tokenizer

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
SPACE = "\u2581"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
PIECES = [
    *(SPACE, "a", "b", "t", "h", "e", "aa", "aaa", "ab", "ba", "bab", "th", "he", "the", "é", "éé", "中"),
    *(SPACE + "a", SPACE + "the", SPACE + SPACE, "e" + SPACE + "t", "aaaa", "abab", SPACE + SPACE + "a"),
]
# Several pieces of one score: the leftmost is merged first.
SCORES = [-float(7 * index % 11) for index in range(len(PIECES))]


def write(path: Path, texts: Sequence[str], kinds: Sequence[int], scores: Any = None, **keys: Any) -> str:
    writer = gguf.GGUFWriter(path, keys.pop("architecture", "llama"))
    writer.add_tokenizer_model(keys.pop("model", "llama"))
    writer.add_token_list(texts)
    writer.add_token_types(kinds)
    if scores is not None:
        writer.add_token_scores(scores)
    for key, value in keys.items():
        (writer.add_bool if isinstance(value, bool) else writer.add_uint32)(f"tokenizer.ggml.{key}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return str(path)


def make(path: Path, extra: dict[str, int] | None = None, with_bytes: bool = True, **keys: Any) -> Tokenizer:
    codes = BYTES if with_bytes else []
    extra = extra or {}
    texts = [*PIECES, *extra, *codes]
    kinds = [*[NORMAL] * len(PIECES), *extra.values(), *[BYTE] * len(codes)]
    return Tokenizer.from_gguf(
        write(path, texts, kinds, [*SCORES, *[0.0] * (len(texts) - len(PIECES))], **keys)
    )


def merged(text: str) -> list[int]:
    """Join the best pair, the leftmost of equals, until none makes a piece."""
    symbols = list(text.replace(" ", SPACE))
    index = {piece: number for number, piece in enumerate(PIECES)}
    while True:
        pairs = [(SCORES[index[a + b]], -at) for at, (a, b) in enumerate(pairwise(symbols)) if a + b in index]
        if not pairs:
            break
        at = -max(pairs)[1]
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    first_byte = len(PIECES)
    ids: list[int] = []
    for symbol in symbols:
        ids += [index[symbol]] if symbol in index else [first_byte + byte for byte in symbol.encode()]
    return ids


TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from([*"abthe é中", "the", " the", "  ", "aaaa", "abab", SPACE, "\n", "🙂"]), max_size=60
    ).map("".join),
)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Tokenizer]:
    folder = tmp_path_factory.mktemp("spm")
    return {flag: make(folder / f"{flag}.gguf", add_space_prefix=flag) for flag in (False, True)}


@settings(deadline=None)
@given(text=TEXTS, prefix=st.booleans())
def test_equals_the_plain_algorithm(tokenizers: dict[bool, Tokenizer], text: str, prefix: bool) -> None:
    expected = merged(" " + text if prefix and text else text)
    found = tokenizers[prefix].encode(text)
    assert found == expected
    assert tokenizers[prefix].decode(found).decode() == text.replace(SPACE, " ")


@given(data=st.binary(), prefix=st.booleans())
def test_any_bytes_come_back(tokenizers: dict[bool, Tokenizer], data: bytes, prefix: bool) -> None:
    expected = data.replace(SPACE.encode(), b" ")
    assert tokenizers[prefix].decode(tokenizers[prefix].encode(data)) == expected


@pytest.mark.parametrize("unit", ["a", " ", "ab", "é", "\u0301", "a "])
def test_a_megabyte_without_a_border_ends(tokenizers: dict[bool, Tokenizer], unit: str) -> None:
    text = unit * (1_000_000 // len(unit.encode()))
    assert tokenizers[True].decode(tokenizers[True].encode(text)).decode() == text


def test_special_tokens_and_the_space_after_them(tmp_path: Path) -> None:
    extra = {"<s>": CONTROL, "<user>": CONTROL, "ab b": USER_DEFINED, "</s>": CONTROL, "<unk>": UNKNOWN}
    tokenizer = make(tmp_path / "s.gguf", extra, bos_token_id=len(PIECES), eos_token_id=len(PIECES) + 3)
    start, user, defined, end, unknown = range(len(PIECES), len(PIECES) + 5)
    space_a, a = PIECES.index(SPACE + "a"), PIECES.index("a")
    assert tokenizer.encode("a<user>a", parse_special=True) == [space_a, user, space_a]
    assert tokenizer.encode("ab ba") == [defined, space_a]
    assert user not in tokenizer.encode("<user>")
    assert tokenizer.encode("<unk></s>", parse_special=True) == [unknown, end]
    assert tokenizer.decode([start, space_a, a]) == b"aa"
    assert tokenizer.decode([start, space_a, a], with_special=True) == b"<s> aa"
    assert (tokenizer.add_bos, tokenizer.stop_ids) == (True, [end])


def test_phi3_drops_the_white_space_after_a_special_token(tmp_path: Path) -> None:
    extra = {"<s>": CONTROL, "<|user|>": CONTROL}
    tokenizer = make(tmp_path / "p.gguf", extra, architecture="phi3")
    space_a, start, user = PIECES.index(SPACE + "a"), len(PIECES), len(PIECES) + 1
    assert tokenizer.encode("<|user|> \n\u00a0a", parse_special=True) == [user, space_a]
    assert tokenizer.encode("<s> a", parse_special=True)[:2] == [start, PIECES.index(SPACE + SPACE + "a")]


def test_unknown_characters_without_byte_tokens(tmp_path: Path) -> None:
    tokenizer = make(
        tmp_path / "u.gguf",
        {"<unk>": UNKNOWN},
        with_bytes=False,
        unknown_token_id=len(PIECES),
        add_space_prefix=False,
    )
    unknown, a = len(PIECES), PIECES.index("a")
    assert tokenizer.encode("zzaz") == [unknown, a, unknown]


CODES = [BYTE] * 256


@pytest.mark.parametrize(
    ("texts", "kinds", "scores", "keys", "problem"),
    [
        (["a", *BYTES], [NORMAL, *CODES], None, {}, "scores is missing"),
        (["a", *BYTES], [NORMAL, *CODES], [0.0], {}, "scores has 1 entries for 257 tokens"),
        (["a", *BYTES], [NORMAL, *CODES], [float("nan")] * 257, {}, r"scores\[0\] is not finite"),
        (["a"], [BYTE], [0.0], {}, r"tokens\[0\] is a byte token but not of the form"),
        (["a"], [NORMAL], [0.0], {}, "no byte tokens, and tokenizer.ggml.unknown_token_id is missing"),
        (["a", *BYTES[:255]], [NORMAL, *CODES[:255]], [0.0] * 256, {}, "not that of byte 255"),
        (
            ["a", *BYTES],
            [NORMAL, *CODES],
            [0.0] * 257,
            {"remove_extra_whitespaces": True},
            "is not supported",
        ),
        (["a", *BYTES], [NORMAL, *CODES], [0.0] * 257, {"model": "t5"}, "'t5' .* is not supported; gpt2"),
        (["a", *BYTES], [NORMAL, *CODES], [0.0] * 257, {"model": "gemma4"}, "'gemma4' .* is not supported"),
        (["a", *BYTES], [NORMAL, *CODES], [0.0] * 257, {"add_eos_token": True}, "add_eos_token is set but"),
    ],
)
def test_broken_vocabulary_is_refused_by_its_key(
    tmp_path: Path, texts: list[str], kinds: list[int], scores: Any, keys: dict[str, Any], problem: str
) -> None:
    path = write(tmp_path / "broken.gguf", texts, kinds, scores, **keys)
    with pytest.raises(ValueError, match=problem) as caught:
        Tokenizer.from_gguf(path)
    assert "\n" not in str(caught.value)
