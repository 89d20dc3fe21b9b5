"""The prefix cache: a text that shares a prefix with an idle session reuses what that has evaluated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phonelm import _native

FRESH_TOKENS = 2
"""Evaluated again at least: the answer starts from the logits of the last one, and two are rounded as a whole
prompt is, so that the same call gives the same text again."""
LEAST_SHARED = 16
"""A shorter common beginning is evaluated faster than it is looked after."""
SMALL_LOSS = 64
"""A session that would lose more tokens than this is copied, and stays for the text that it belongs to."""
MEMORY_SHARE = 4
"""Idle sessions hold at most this fraction (one over it) of the available memory."""


class SessionPool:
    """At most `most_sessions` idle sessions; the least recently used is evicted first. Thread-safe.

    `create(capacity)` makes a new one.
    """

    def __init__(self, most_sessions: int, create: Callable[[int, int | None], _native.Session]) -> None:
        self._most_sessions = most_sessions
        self._create = create
        self._idle: list[_native.Session] = []
        self._lock = threading.Lock()

    def take(
        self,
        ids: Sequence[int],
        capacity: int,
        num_sinks: int | None = None,
        adapters: _native.Adapters | None = None,
    ) -> _native.Session:
        """Return a session with room for `capacity` tokens that holds as many of the first `ids` as can be.

        Its `position` is their number. Raises `ValueError` as a new session does.
        """
        found = self._remove_best(ids, capacity, num_sinks, adapters)
        if found is None:
            return self._new(capacity, num_sinks)
        session, shared = found
        if session.context_length >= capacity and session.position - shared <= SMALL_LOSS:
            session.truncate(shared)
            return session
        try:
            return session.fork(shared, capacity)
        except ValueError:  # no memory for both, or keys that a longer context rotates differently
            return self._new(capacity, num_sinks)
        finally:
            self.put(session)

    def put(self, session: _native.Session) -> None:
        """Keep a session that is no longer in use, if there is room for it."""
        from phonelm import _native

        limit = _native.available_memory()[0] // MEMORY_SHARE
        with self._lock:
            self._idle.append(session)
            while len(self._idle) > self._most_sessions or self._used_bytes() > limit:
                del self._idle[0]

    def clear(self) -> None:
        """Let go of all of them."""
        with self._lock:
            self._idle.clear()

    def _used_bytes(self) -> int:
        return sum(session.used_bytes for session in self._idle)

    def _new(self, capacity: int, num_sinks: int | None) -> _native.Session:
        try:
            return self._create(capacity, num_sinks)
        except ValueError:
            if not self._idle:
                raise
            self.clear()
            return self._create(capacity, num_sinks)

    def _remove_best(
        self, ids: Sequence[int], capacity: int, num_sinks: int | None, adapters: _native.Adapters | None
    ) -> tuple[_native.Session, int] | None:
        with self._lock:
            best, most = None, LEAST_SHARED - 1
            for session in self._idle:
                if session.num_sinks != num_sinks or session.adapters is not adapters:
                    continue
                shared = _reusable(session, ids, capacity)
                if shared > most:
                    best, most = session, shared
            if best is None:
                return None
            self._idle.remove(best)
            return best, most


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Number of tokens that two texts begin with alike."""
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


def _reusable(session: _native.Session, ids: Sequence[int], capacity: int) -> int:
    shared = min(common_prefix(session.tokens, ids), len(ids) - FRESH_TOKENS)
    # A session that has slid continues only from its end, in its own window.
    if session.num_dropped and (shared < session.position or session.context_length != capacity):
        return 0
    return shared
