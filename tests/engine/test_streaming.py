from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phonelm.engine.streaming import TextStream


def _pieces(data: bytes, cuts: list[int], stop: tuple[str, ...] = ()) -> list[str]:
    stream = TextStream(stop)
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [stream.feed(data[start:end]) for start, end in itertools.pairwise(edges)]
    return [*pieces, stream.finish()]


@given(st.text(), st.lists(st.integers(0, 10_000)))
def test_cut_anywhere_gives_the_same_text_in_whole_characters(text: str, cuts: list[int]) -> None:
    pieces = _pieces(text.encode(), cuts)
    assert "".join(pieces) == text
    assert "\ufffd" in text or all("\ufffd" not in piece for piece in pieces)


@given(st.binary(), st.lists(st.integers(0, 10_000)))
def test_any_bytes_decode_as_python_does(data: bytes, cuts: list[int]) -> None:
    assert "".join(_pieces(data, cuts)) == data.decode("utf-8", "replace")


@given(
    st.text("ab<|\u00e9\u4e16"),
    st.lists(st.integers(0, 10_000)),
    st.lists(st.text("ab<|\u00e9", min_size=1, max_size=4), min_size=1, max_size=3),
)
def test_stop_texts_cut_the_text_before_the_first(text: str, cuts: list[int], stops: list[str]) -> None:
    ends = [text.find(stop) for stop in stops if stop in text]
    joined = "".join(_pieces(text.encode(), cuts, tuple(stops)))
    assert text.startswith(joined)
    assert all(stop not in joined for stop in stops)
    assert (joined == text) == (not ends)


@pytest.mark.parametrize("stop", ["</s>", "<"])
def test_nothing_comes_after_a_stop_text(stop: str) -> None:
    stream = TextStream((stop,))
    assert stream.feed(b"yes</s>no") == "yes"
    assert stream.stopped
    assert stream.feed(b"more") + stream.finish() == ""
