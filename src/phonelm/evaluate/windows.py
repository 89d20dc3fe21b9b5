"""How a text longer than the context is cut: windows that overlap, each token scored once.

As in Hugging Face's "Perplexity of fixed-length models": a window holds `context` tokens; the first scores
all of its own, each further one begins `stride` tokens later and scores those that the last had not reached.
So each scored token has `context - stride` tokens before it at least, but those of a document's beginning. A
begin-of-text token, where the model's texts have one, begins each window: trained behind it, a model is lost
without.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from phonelm.engine import Tokenizer
from phonelm.ranges import is_whole
from phonelm.words import counted

CONTEXT = 1024
"""Tokens of a window if not given, where the model has room for them."""


@dataclass(frozen=True)
class Window:
    """Tokens of which the last `num_scored` are scored; those stand for `num_bytes` of the text."""

    tokens: list[int]
    num_scored: int
    num_bytes: int


@dataclass(frozen=True)
class TextWindows:
    """The windows of a text, and how many tokens of it no token stands before, so that none scores them."""

    windows: list[Window]
    num_unscored: int


def check_window(context: int, stride: int, longest: int) -> None:
    """Raise `ValueError` for a context or a stride out of range; `longest` is what the model takes."""
    if not is_whole(context, 2, longest):
        raise ValueError(f"context is {context}; this model takes 2 to {longest:,} tokens")
    if not is_whole(stride, 1, context):
        raise ValueError(f"stride is {stride}; take 1 to the context, {context:,} tokens")


def text_windows(
    tokenizer: Tokenizer,
    documents: Iterable[str],
    context: int,
    stride: int,
    limit_tokens: int | None = None,
) -> TextWindows:
    """Cut documents into windows, none of which crosses from one document to the next.

    Of all documents together the first `limit_tokens` are taken. A stride of the whole context makes the
    windows disjoint. Without a begin-of-text token, nothing stands before a document's first token, nor
    before the first of a disjoint window; these are not scored. Raises `ValueError` where no token is.
    """
    start = text_start(tokenizer)
    windows: list[Window] = []
    num_tokens = 0
    for document in documents:
        ids = tokenizer.encode(document)
        num_bytes = [len(tokenizer.token_bytes(token, with_special=True)) for token in ids]
        # A space that SentencePiece puts before a text is none of its bytes.
        extra = sum(num_bytes) - len(document.encode("utf-8", "surrogatepass"))
        num_bytes[:1] = [length - extra for length in num_bytes[:1]]
        ids = ids if limit_tokens is None else ids[: limit_tokens - num_tokens]
        num_tokens += len(ids)
        windows += _document_windows(start, ids, num_bytes, context, stride)
        if num_tokens == limit_tokens:
            break
    if not windows:
        raise ValueError(
            f"the text has {counted(num_tokens, 'token')}, none with a token before it; give a longer text"
        )
    return TextWindows(windows, num_tokens - sum(window.num_scored for window in windows))


def text_start(tokenizer: Tokenizer) -> list[int]:
    """Return what stands before each text: the begin-of-text token, or nothing."""
    # Of an empty text SentencePiece's space could be left.
    return tokenizer.encode_prompt("a")[: -len(tokenizer.encode("a"))]


def _document_windows(
    start: list[int], ids: list[int], num_bytes: list[int], context: int, stride: int
) -> Iterable[Window]:
    room = context - len(start)
    done = 0
    for begin in range(0, len(ids), min(stride, room)):
        end = min(begin + room, len(ids))
        first = max(done, begin if start else begin + 1)
        if first < end:
            yield Window([*start, *ids[begin:end]], end - first, sum(num_bytes[first:end]))
        done = end
        if end == len(ids):
            return
