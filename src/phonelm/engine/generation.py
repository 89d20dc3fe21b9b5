"""One run of generation: sampling options, the loop over tokens, and what it took."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from phonelm.engine.streaming import TextStream

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine.tokenizer import Tokenizer

FinishReason = Literal["stop", "length", "context", "cancelled"]
ContextOverflow = Literal["stop", "slide"]
PREFILL_CHUNK = 256
"""Tokens evaluated at once (one pass of the native core), so that Ctrl-C is heard within a long prompt."""


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is drawn and where generation ends.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 keep all tokens. `seed` None draws one.
    `stop` texts end the answer and are not part of it. `max_tokens` None goes on until the context is full.
    `context_overflow` "slide" forgets the oldest tokens but the first ones when the context is full, and goes
    on; "stop" ends there. Raises `ValueError` for a value out of range.
    """

    max_tokens: int | None = None
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    context_overflow: ContextOverflow = "stop"

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.temperature) and self.temperature >= 0,
            f"temperature is {self.temperature}; give 0 (greedy) or a positive number",
        )
        _require(self.top_k >= 0, f"top_k is {self.top_k}; give 0 (all tokens) or a positive number")
        _require(0 < self.top_p <= 1, f"top_p is {self.top_p}; give a number above 0 and at most 1")
        _require(0 <= self.min_p < 1, f"min_p is {self.min_p}; give a number from 0 to below 1")
        _require(
            self.max_tokens is None or self.max_tokens >= 1,
            f"max_tokens is {self.max_tokens}; give 1 or more",
        )
        _require(
            self.context_overflow in ("stop", "slide"),
            f"context_overflow is {self.context_overflow!r}; give 'stop' or 'slide'",
        )
        _require(all(self.stop), "a stop text is empty; leave it out or give some text")
        if self.seed is None:
            object.__setattr__(self, "seed", secrets.randbits(32))
        _require(0 <= (self.seed or 0) < 2**64, f"seed is {self.seed}; give a number from 0 to 2^64 - 1")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


class Generation(Iterator[str]):
    """Pieces of text as they are made; whole characters only.

    While and after it runs: `tokens` (ids made so far, without the one that ended it), `finish_reason`
    ("stop": the model or a stop text ended it; "length": `max_tokens`; "context": the context is full;
    "cancelled": `cancel` was called; None: not finished), `prompt_tokens`, `reused_tokens` (of the prompt,
    found evaluated in the session), `prefill_s` and `decode_s` (seconds in the native core).
    """

    def __init__(
        self,
        session: _native.Session,
        prompt: list[int],
        tokenizer: Tokenizer,
        options: SamplingOptions,
        *,
        release: Callable[[_native.Session, list[int]], None] | None = None,
    ) -> None:
        self.options = options
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.prompt_tokens = len(prompt)
        self.reused_tokens = session.position
        self.prefill_s = 0.0
        self.decode_s = 0.0
        self._session = session
        self._evaluated = list(prompt)
        self._tokenizer = tokenizer
        self._release = release
        self._sampler = new_sampler(options)
        self._cancelled = False
        self._pieces = self._run()

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """End the run now; what was made so far stays."""
        self._pieces.close()

    def cancel(self) -> None:
        """End the run from any thread: after the token, or the piece of the prompt, that is being made."""
        self._cancelled = True

    @property
    def prefill_tokens_per_s(self) -> float:
        """Speed of evaluating the prompt, without the tokens found evaluated."""
        return (self.prompt_tokens - self.reused_tokens) / self.prefill_s if self.prefill_s else 0.0

    @property
    def decode_tokens_per_s(self) -> float:
        """Speed of making tokens after the first, which comes out of the prefill."""
        return (len(self.tokens) - 1) / self.decode_s if self.decode_s and len(self.tokens) > 1 else 0.0

    def _run(self) -> Generator[str, None, None]:
        try:
            token = self._first_token()
            if token is not None:
                yield from self._decode(token)
        finally:
            if self._release:
                self._release(self._session, self._evaluated[: self._session.position])

    def _first_token(self) -> int | None:
        start = time.perf_counter()
        for at in range(self.reused_tokens, self.prompt_tokens, PREFILL_CHUNK):
            if self._cancelled:
                self.finish_reason = "cancelled"
                return None
            self._session.prefill(self._evaluated[at : min(at + PREFILL_CHUNK, self.prompt_tokens)])
        token = self._session.sample(self._sampler)
        self.prefill_s = time.perf_counter() - start
        return token

    def _decode(self, token: int) -> Iterator[str]:
        stream = TextStream(self.options.stop)
        while token not in self._tokenizer.stop_ids:
            self.tokens.append(token)
            if piece := stream.feed(self._tokenizer.token_bytes(token)):
                yield piece
            if reason := self._end(stream):
                self.finish_reason = reason
                break
            token = self._step(token)
        else:
            self.finish_reason = "stop"
        if tail := stream.finish():
            yield tail

    def _end(self, stream: TextStream) -> FinishReason | None:
        if stream.stopped:
            return "stop"
        if self._cancelled:
            return "cancelled"
        if len(self.tokens) == self.options.max_tokens:
            return "length"
        return "context" if self._session.room == 0 else None

    def _step(self, token: int) -> int:
        # Noted first: an interrupt right after the step must find the list as long as the session.
        self._evaluated.append(token)
        start = time.perf_counter()
        token = self._session.step(token, self._sampler)
        self.decode_s += time.perf_counter() - start
        return token


def new_sampler(options: SamplingOptions) -> _native.Sampler:
    """Return the sampler that the options describe."""
    from phonelm import _native

    return _native.Sampler(
        temperature=options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        seed=options.seed or 0,
    )
