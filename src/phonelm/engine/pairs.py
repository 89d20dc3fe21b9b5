"""A context and its continuation as tokens, divided as lm-evaluation-harness divides them."""

from __future__ import annotations

from typing import Protocol


class PairTokenizer(Protocol):
    """As much of a tokenizer as a pair needs. A token that it does not have is below 0."""

    @property
    def bos_id(self) -> int:
        """The begin-of-text token."""

    @property
    def eos_id(self) -> int:
        """The end-of-text token."""

    def encode(self, text: str) -> list[int]:
        """The tokens of a text."""

    def encode_prompt(self, text: str) -> list[int]:
        """The same behind what the model's texts begin with."""


def split_pair(tokenizer: PairTokenizer, context: str, continuation: str) -> tuple[list[int], list[int]]:
    """Return the tokens of the context and of the continuation, to which spaces between them belong.

    Raises `ValueError` for an empty continuation, and an empty context without a begin-of-text token.
    """
    stripped = context.rstrip()
    continuation = context[len(stripped) :] + continuation
    if not continuation:
        raise ValueError("the continuation is empty; give some text to score")
    if not stripped:
        start = tokenizer.bos_id if tokenizer.bos_id >= 0 else tokenizer.eos_id
        if start < 0:
            raise ValueError("the context is empty and the model has no begin-of-text token; give a context")
        return [start], tokenizer.encode(continuation)
    before = tokenizer.encode_prompt(stripped)
    after = tokenizer.encode_prompt(stripped + continuation)[len(before) :]
    # The continuation may melt into the context's last token; then it is tokenized apart.
    return before, after or tokenizer.encode(continuation)
