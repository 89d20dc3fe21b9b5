"""One run of generation: sampling options, the loop over tokens, and what it took."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from phonelm.engine.decoding import Decoder
from phonelm.engine.streaming import TextStream

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine.constraint import Constraint
    from phonelm.engine.tokenizer import Tokenizer

FinishReason = Literal["stop", "length", "context", "constraint", "cancelled"]
ContextOverflow = Literal["stop", "slide"]


@dataclass(frozen=True)
class SamplingOptions:
    """How the next token is drawn and where generation ends.

    `temperature` 0 is greedy. `top_k` 0, `top_p` 1 and `min_p` 0 keep all tokens. `seed` None draws one.
    `stop` texts end the answer and are not part of it. `max_tokens` None: until the context is full.
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

    @classmethod
    def from_keywords(cls, options: Mapping[str, Any], **defaults: Any) -> SamplingOptions:
        """Return the options that a method was given as keywords; `stop` may be one text.

        `defaults` are the method's own. Raises `ValueError` as the class does, `TypeError` for a keyword that
        is no option.
        """
        merged = {**defaults, **options}
        stop = merged.get("stop", ())
        return cls(**{**merged, "stop": (stop,) if isinstance(stop, str) else tuple(stop)})


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


class Generation(Iterator[str]):
    """Pieces of text as they are made; whole characters only.

    While and after it runs: `tokens` (ids made so far, without the one that ended it), `finish_reason`
    ("stop": the model, a stop text or the grammar's end ended it; "length": `max_tokens`; "context": the
    context is full; "constraint": it allows no token; "cancelled": `cancel` was called; None: not finished),
    `prompt_tokens`, `reused_tokens` (of the prompt, found evaluated in the session).
    """

    def __init__(
        self,
        session: _native.Session,
        prompt: list[int],
        tokenizer: Tokenizer,
        options: SamplingOptions,
        *,
        constraint: Constraint | None = None,
        lookup: bool = False,
        release: Callable[[_native.Session], None] | None = None,
    ) -> None:
        self.options = options
        self.tokens: list[int] = []
        self.finish_reason: FinishReason | None = None
        self.prompt_tokens = len(prompt)
        self.reused_tokens = session.position
        self._session = session
        self._tokenizer = tokenizer
        self._release = release
        self._decoder = Decoder(
            session, prompt, new_sampler(options), tokenizer, constraint=constraint, lookup=lookup
        )
        self._pieces = self._run()

    def __next__(self) -> str:
        return next(self._pieces)

    def close(self) -> None:
        """End the run now; what was made so far stays."""
        self._pieces.close()

    def cancel(self) -> None:
        """End the run from any thread: after the token, or the piece of the prompt, that is being made."""
        self._decoder.is_cancelled = True

    @property
    def prefill_s(self) -> float:
        """Seconds of evaluating the prompt, the first token's draw included."""
        return self._decoder.prefill_s

    @property
    def decode_s(self) -> float:
        """Seconds of making the tokens after the first."""
        return self._decoder.decode_s

    @property
    def prefill_tokens_per_s(self) -> float:
        """Speed of evaluating the prompt, without the tokens found evaluated."""
        return (self.prompt_tokens - self.reused_tokens) / self.prefill_s if self.prefill_s else 0.0

    @property
    def decode_tokens_per_s(self) -> float:
        """Speed of making tokens after the first, which comes out of the prefill."""
        return (len(self.tokens) - 1) / self.decode_s if self.decode_s and len(self.tokens) > 1 else 0.0

    @property
    def drafted_tokens(self) -> int:
        """Tokens that prompt lookup drafted and the model evaluated."""
        return self._decoder.drafted_tokens

    @property
    def accepted_tokens(self) -> int:
        """Drafted tokens that were the model's own."""
        return self._decoder.accepted_tokens

    @property
    def acceptance_rate(self) -> float:
        """Share of the drafted tokens that were accepted; 0 without a draft."""
        return self.accepted_tokens / self.drafted_tokens if self.drafted_tokens else 0.0

    def _run(self) -> Generator[str, None, None]:
        try:
            yield from self._decode()
        finally:
            self._decoder.leave(self.prompt_tokens + len(self.tokens))
            if self._release:
                self._release(self._session)

    def _decode(self) -> Iterator[str]:
        stream = TextStream(self.options.stop)
        run = self._decoder.start()
        yield from self._emit(run, stream)
        while self.finish_reason is None:
            run = self._decoder.advance(self._tokens_left)
            yield from self._emit(run, stream)
        if tail := stream.finish():
            yield tail

    def _emit(self, run: list[int], stream: TextStream) -> Iterator[str]:
        """Yield the text of a run and note what ends the answer in it or after it."""
        for index, token in enumerate(run):
            if token in self._tokenizer.stop_ids:
                break
            self.tokens.append(token)
            if piece := stream.feed(self._tokenizer.token_bytes(token)):
                yield piece
            ended = self._decoder.ended if index == len(run) - 1 else None
            if reason := self._end_after_token(stream, ended):
                self.finish_reason = reason
                return
        self.finish_reason = self._decoder.ended or ("context" if self._decoder.is_full else None)

    def _end_after_token(self, stream: TextStream, ended: FinishReason | None) -> FinishReason | None:
        if stream.stopped:
            return "stop"
        if self._decoder.is_cancelled:
            return "cancelled"
        return ended or ("length" if self._tokens_left == 0 else None)

    @property
    def _tokens_left(self) -> int | None:
        limit = self.options.max_tokens
        return None if limit is None else limit - len(self.tokens)


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
