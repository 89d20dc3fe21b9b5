"""Drives the native core token by token: known tokens, drafts, constraints."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from phonelm._native import CHUNK_TOKENS
from phonelm.engine.constraint import Constraint, TokenMask, allows, new_mask

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine.tokenizer import Tokenizer

NO_TOKEN = -1
"""What the sampler returns where no token is allowed."""


class Decoder:
    """A session, its sampler, and optionally a constraint and drafts from the text so far.

    `start` and `advance` return runs of new tokens. The last one drawn, and those a constraint forces after
    it, are pending: they are evaluated by the next `advance`. An empty run: no token is allowed.
    """

    def __init__(
        self,
        session: _native.Session,
        prompt: list[int],
        sampler: _native.Sampler,
        tokenizer: Tokenizer,
        constraint: Constraint | None = None,
        lookup: bool = False,
        banned: frozenset[int] = frozenset(),
    ) -> None:
        self.ended: Literal["stop", "constraint", "cancelled"] | None = None
        """Why nothing can follow the last run, if so."""
        self.is_cancelled = False
        """May be set from any thread."""
        self.prefill_s = 0.0
        self.decode_s = 0.0
        self._session = session
        self._prompt = prompt
        self._pending: list[int] = []
        self._sampler = sampler
        self._tokenizer = tokenizer
        self._constraint = constraint
        self._masks = [new_mask(tokenizer.vocab_size)] if constraint else []
        self._speculation = _new_speculation(prompt) if lookup else None
        self._banned = banned

    @property
    def is_full(self) -> bool:
        """Whether the context has no room for the tokens that are pending."""
        return self._room < 0 and not self._session.slides

    @property
    def drafted_tokens(self) -> int:
        """Tokens drafted and evaluated."""
        return self._speculation.num_drafted if self._speculation else 0

    @property
    def accepted_tokens(self) -> int:
        """Of these, those that held."""
        return self._speculation.num_accepted if self._speculation else 0

    def start(self) -> list[int]:
        """Evaluate what of the prompt is not in the session and return the first tokens."""
        begin = time.perf_counter()
        # A pass at a time, so that Ctrl-C is heard within a long prompt.
        for at in range(self._session.position, len(self._prompt), CHUNK_TOKENS):
            if self.is_cancelled:
                self.ended = "cancelled"
                return []
            self._session.prefill(self._prompt[at : at + CHUNK_TOKENS])
        token = self._session.sample(self._sampler, self._mask())
        self.prefill_s = time.perf_counter() - begin
        return self._take([token])

    def advance(self, most: int | None) -> list[int]:
        """Evaluate the pending tokens and return the next ones; at most `most` are drafted."""
        begin = time.perf_counter()
        if self._speculation:
            room = self._room if most is None else min(self._room, most - 1)
            run = self._advance_by_draft(self._speculation, max(room, 0))
        else:
            run = [self._session.step(self._pending, self._sampler, self._mask())]
        self.decode_s += time.perf_counter() - begin
        return self._take(run)

    def leave(self, num_tokens: int) -> None:
        """Forget what of the session comes after so many tokens: the rest of a run that was cut."""
        if self._session.position > num_tokens:
            self._session.truncate(num_tokens)

    def _advance_by_draft(self, speculation: _native.Speculation, room: int) -> list[int]:
        draft = speculation.propose(self._pending, room)
        masks: list[TokenMask] = []
        if self._constraint:
            draft, masks = self._allowed_draft(self._constraint, draft)
        return speculation.advance(self._session, self._sampler, self._pending, draft, masks)

    def _allowed_draft(self, constraint: Constraint, draft: list[int]) -> tuple[list[int], list[TokenMask]]:
        """Return what the constraint allows of a draft, and the mask of each draw."""
        while len(self._masks) <= len(draft):
            self._masks.append(new_mask(self._tokenizer.vocab_size))
        num_allowed = 0
        constraint.fill_mask(self._masks[0])
        for token in draft:
            if token in self._tokenizer.stop_ids or not allows(self._masks[num_allowed], token):
                break
            constraint.accept(token)
            num_allowed += 1
            constraint.fill_mask(self._masks[num_allowed])
        constraint.rollback(num_allowed)
        return draft[:num_allowed], self._masks[: num_allowed + 1]

    def _mask(self) -> TokenMask | None:
        if self._constraint is None:
            return None
        self._constraint.fill_mask(self._masks[0])
        return self._masks[0]

    def _take(self, run: list[int]) -> list[int]:
        """Note a run, all but whose last token are evaluated, and what the constraint puts after it."""
        taken = self._accepted(run)
        self._pending = taken[len(run) - 1 :]
        if self._constraint and self._pending and not self.ended:
            # A banned token ends what is forced: another may spell the same text.
            forced = list(takewhile(lambda token: token not in self._banned, self._constraint.forced()))
            room = len(forced) if self._session.slides else max(self._room + 1, 0)
            taken += self._accepted(forced[:room])
            self._pending = taken[len(run) - 1 :]
        return taken

    def _accepted(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens up to the one that ends the answer."""
        taken: list[int] = []
        for token in tokens:
            if token == NO_TOKEN:
                self.ended = "constraint"
                break
            taken.append(token)
            if token in self._tokenizer.stop_ids:
                self.ended = "stop"
            elif self._constraint:
                self._constraint.accept(token)
                self.ended = "stop" if self._constraint.is_finished else None
            if self.ended:
                break
        return taken

    @property
    def _room(self) -> int:
        """Tokens after the pending ones that fit into the context before it stops or slides."""
        session = self._session
        return session.context_length - (session.position - session.num_dropped) - len(self._pending)


def _new_speculation(prompt: list[int]) -> _native.Speculation:
    from phonelm import _native

    return _native.Speculation(prompt)
