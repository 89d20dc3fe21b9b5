"""Several prompts decoded together: each step reads the weights once for all of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from phonelm._native import CHUNK_TOKENS
from phonelm.engine.decoding import NO_TOKEN
from phonelm.engine.generation import FinishReason
from phonelm.engine.sampling import SamplingOptions, new_sampler
from phonelm.engine.streaming import TextStream

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine.tokenizer import Tokenizer


@dataclass(frozen=True)
class Completion:
    """One prompt's continuation; the fields as those of `Generation`."""

    text: str
    tokens: list[int]
    finish_reason: FinishReason
    prompt_tokens: int


class _Row:
    """One of the sequences: its session, and the token that its next step evaluates."""

    def __init__(
        self, session: _native.Session, prompt: list[int], tokenizer: Tokenizer, options: SamplingOptions
    ) -> None:
        self.session = session
        self.sampler = new_sampler(options, tokenizer)
        self.finish_reason: FinishReason | None = None
        self._prompt_tokens = len(prompt)
        self._tokenizer = tokenizer
        self._max_tokens = options.max_tokens
        self._stream = TextStream(options.stop)
        self._pieces: list[str] = []
        self._tokens: list[int] = []
        for at in range(session.position, len(prompt), CHUNK_TOKENS):
            session.prefill(prompt[at : at + CHUNK_TOKENS])
        self.take(session.sample(self.sampler))

    @property
    def pending(self) -> int:
        return self._tokens[-1]

    def take(self, token: int) -> None:
        """Note the next token and whether it is the last."""
        if token == NO_TOKEN or token in self._tokenizer.stop_ids:
            self.finish_reason = "constraint" if token == NO_TOKEN else "stop"
            return
        self._tokens.append(token)
        self._pieces.append(self._stream.feed(self._tokenizer.token_bytes(token)))
        if self._stream.stopped:
            self.finish_reason = "stop"
        elif len(self._tokens) == self._max_tokens:
            self.finish_reason = "length"
        elif self.session.room == 0:
            self.finish_reason = "context"

    def completion(self) -> Completion:
        assert self.finish_reason is not None
        text = "".join(self._pieces) + self._stream.finish()
        return Completion(text, self._tokens, self.finish_reason, self._prompt_tokens)


def run_batch(
    prompts: Sequence[list[int]],
    tokenizer: Tokenizer,
    options: SamplingOptions,
    batch_size: int,
    take: Callable[[list[int]], _native.Session],
    release: Callable[[_native.Session], None],
) -> list[Completion]:
    """Continue all prompts, `batch_size` at a time; the next begins as soon as one ends."""
    from phonelm import _native

    waiting = deque(enumerate(prompts))
    done: dict[int, Completion] = {}
    active: dict[int, _Row] = {}
    while waiting or active:
        while waiting and len(active) < batch_size:
            index, prompt = waiting.popleft()
            active[index] = _Row(take(prompt), prompt, tokenizer, options)
        running = [row for row in active.values() if row.finish_reason is None]
        tokens = _native.step_batch(
            [row.session for row in running],
            [row.pending for row in running],
            [row.sampler for row in running],
        )
        for row, token in zip(running, tokens, strict=True):
            row.take(token)
        for index in [index for index, row in active.items() if row.finish_reason]:
            row = active.pop(index)
            done[index] = row.completion()
            release(row.session)
    return [done[index] for index in range(len(prompts))]
