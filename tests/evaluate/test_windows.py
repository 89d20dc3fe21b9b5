from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.engine import Model
from phonelm.evaluate import TextWindows, check_window, text_windows
from phonelm.evaluate.windows import _document_windows


class FakeTokenizer:
    """A token a byte, behind a begin-of-text token or not, and with a space before each text or not."""

    def __init__(self, start: list[int], prefix: str = "") -> None:
        self.start, self.prefix = start, prefix

    def encode(self, text: str) -> list[int]:
        return list((self.prefix + text).encode("utf-8", "surrogatepass")) if text else []

    def encode_prompt(self, text: str) -> list[int]:
        return self.start + self.encode(text)

    def token_bytes(self, token: int, with_special: bool) -> bytes:
        return bytes([token])


def windows_of(
    documents: list[str], context: int, stride: int, limit: int | None = None, start: tuple[int, ...] = ()
) -> TextWindows:
    return text_windows(FakeTokenizer(list(start)), documents, context, stride, limit)  # type: ignore[arg-type]


@given(
    length=st.integers(1, 60),
    context=st.integers(2, 20),
    share=st.floats(0, 1),
    start=st.sampled_from([(), (300,)]),
)
def test_each_token_is_scored_once_behind_enough_others(
    length: int, context: int, share: float, start: tuple[int, ...]
) -> None:
    stride = 1 + round(share * (context - 1))
    ids = list(range(length))
    windows = list(_document_windows(list(start), ids, [1] * length, context, stride))
    scored = [token for window in windows for token in window.tokens[-window.num_scored :]]
    assert sum(window.num_bytes for window in windows) == len(scored)
    assert all(len(window.tokens) <= context for window in windows)
    if start:
        assert all(window.tokens[0] == 300 for window in windows)
        assert scored == ids
    elif stride < context:
        assert scored == ids[1:]
    else:
        assert scored == [token for token in ids if token % context]
    for window in windows[1:]:
        assert len(window.tokens) - window.num_scored >= min(context - stride, context - 1)


def test_equal_to_the_loop_of_hugging_faces_documentation() -> None:
    length, context, stride = 1000, 128, 48
    expected, before = [], 0
    for begin in range(0, length, stride):
        end = min(begin + context, length)
        labels = list(range(begin, end))
        expected += labels[1:][-(end - before) :]
        before = end
        if end == length:
            break
    windows = _document_windows([], list(range(length)), [1] * length, context, stride)
    assert [token for window in windows for token in window.tokens[-window.num_scored :]] == expected


def test_a_stride_of_the_context_makes_disjoint_windows() -> None:
    found = windows_of(["abcdefgh"], 3, 3)
    assert [bytes(window.tokens) for window in found.windows] == [b"abc", b"def", b"gh"]
    assert found.num_unscored == 3
    with_start = windows_of(["abcdefg"], 3, 3, start=(300,))
    assert [bytes(window.tokens[1:]) for window in with_start.windows] == [b"ab", b"cd", b"ef", b"g"]
    assert with_start.num_unscored == 0


def test_documents_do_not_cross() -> None:
    found = windows_of(["abcde", "", "x", "yz"], 8, 4)
    assert [bytes(window.tokens) for window in found.windows] == [b"abcde", b"yz"]
    assert found.num_unscored == 3


@pytest.mark.parametrize(
    ("limit", "texts"), [(1, [b"a"]), (3, [b"abc"]), (4, [b"abc", b"d"]), (9, [b"abc", b"de"])]
)
def test_limit(limit: int, texts: list[bytes]) -> None:
    found = windows_of(["abc", "de"], 8, 4, limit, start=(300,))
    assert [bytes(window.tokens[1:]) for window in found.windows] == texts
    assert sum(window.num_bytes for window in found.windows) == sum(map(len, texts))


def test_bytes_are_those_of_the_text() -> None:
    text = "Grüße — 東京 " * 9
    tokenizer = FakeTokenizer([300], prefix=" ")
    windows = text_windows(tokenizer, [text, text], 16, 8).windows  # type: ignore[arg-type]
    assert sum(window.num_bytes for window in windows) == 2 * len(text.encode())


def test_bytes_are_those_of_the_text_with_a_real_tokenizer(bos_model: Model) -> None:
    text = "Grüße — 東京, some words " * 9
    windows = text_windows(bos_model.tokenizer, [text], 32, 8).windows
    assert sum(window.num_bytes for window in windows) == len(text.encode())


def test_too_little_text() -> None:
    with pytest.raises(ValueError, match="the text has 1 token, none with a token before it"):
        windows_of(["a"], 8, 4)
    with pytest.raises(ValueError, match="the text has 0 tokens"):
        windows_of([""], 8, 4, start=(300,))


@pytest.mark.parametrize(
    ("context", "stride", "message"),
    [
        (1, 1, "context is 1; this model takes 2 to 1,024 tokens"),
        (1025, 1, "context is 1025"),
        (64, 0, "stride is 0; take 1 to the context, 64 tokens"),
        (64, 65, "stride is 65"),
        (64, -1, "stride is -1"),
    ],
)
def test_window_out_of_range(context: int, stride: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_window(context, stride, 1024)
