"""One run of generation: the loop over tokens, and what it took."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Literal

from phonelm.engine.decoding import Decoder
from phonelm.engine.sampling import SamplingOptions, banned_tokens, new_sampler
from phonelm.engine.streaming import TextStream
from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine.constraint import Constraint
    from phonelm.engine.tokenizer import Tokenizer

FinishReason = Literal["stop", "length", "context", "constraint", "cancelled"]


class Generation(Iterator[str]):
    """Pieces of text as they are made, whole characters only; `text` is all of it.

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
            session,
            prompt,
            new_sampler(options, tokenizer),
            tokenizer,
            constraint=constraint,
            lookup=lookup,
            banned=banned_tokens(options, tokenizer),
        )
        self._pieces = self._run()
        self._made: list[str] = []
        self._has_rule = constraint is not None
        self._met_stop_text = False

    def __next__(self) -> str:
        piece = next(self._pieces)
        self._made.append(piece)
        return piece

    def __repr__(self) -> str:
        return f"<Generation: {counted(len(self.tokens), 'token')}, finish_reason={self.finish_reason!r}>"

    @property
    def text(self) -> str:
        """The whole text; a run that has not ended runs to its end first."""
        for _piece in self:
            pass
        return "".join(self._made)

    @property
    def is_complete(self) -> bool:
        """Whether the text came to its own end: under a grammar, one that the grammar allows.

        False while it runs, and where `max_tokens`, the context, a `cancel` or, under a grammar, a stop text
        cut it.
        """
        return self.finish_reason == "stop" and not (self._has_rule and self._met_stop_text)

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
            self._met_stop_text = True
            return "stop"
        if self._decoder.is_cancelled:
            return "cancelled"
        return ended or ("length" if self._tokens_left == 0 else None)

    @property
    def _tokens_left(self) -> int | None:
        limit = self.options.max_tokens
        return None if limit is None else limit - len(self.tokens)
