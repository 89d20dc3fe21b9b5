"""The state of a chat: its turns, its instruction, and what fits into the context of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phonelm.engine import Generation, Model

_ANSWER_TOKENS = 256
"""Room that is made for an answer, or a quarter of a context that is short."""


@dataclass(frozen=True)
class Turn:
    """A question and what was answered."""

    question: str
    answer: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """The turn as two messages."""
        return [{"role": "user", "content": self.question}, {"role": "assistant", "content": self.answer}]


class Conversation:
    """The turns so far, of which the oldest leave when the context is full.

    `options` are those of `Model.chat` that stay: grammar, lookup, the variables of the chat template.
    """

    def __init__(self, model: Model, system: str | None, options: Mapping[str, Any]) -> None:
        self.model = model
        self.system = system
        self.turns: list[Turn] = []
        self._options = dict(options)
        # Refuses a model that cannot chat so before the first question is typed.
        self.check(system, ())

    @property
    def has_grammar(self) -> bool:
        """Whether answers follow a grammar."""
        return self._options.get("grammar") is not None

    @property
    def num_tokens(self) -> int:
        """Tokens that the conversation is evaluated as; 0 before its first turn where nobody instructs."""
        return len(self._ids(self._messages())) if self.turns or self.system else 0

    def check(self, system: str | None, turns: Sequence[Turn]) -> None:
        """Raise `ValueError` where the model cannot be asked a question after these."""
        self._ids([*_messages(system, turns), {"role": "user", "content": "Hello"}])

    def instruct(self, system: str | None) -> None:
        """Set the instruction, or none. Raises `ValueError` for one that the template does not show."""
        self.check(system, self.turns)
        self.system = system

    def replace(self, system: str | None, turns: Sequence[Turn]) -> None:
        """Take another conversation in place of this one. Raises as `check`."""
        self.check(system, turns)
        self.system, self.turns = system, list(turns)

    def ask(self, question: str, sampling: Mapping[str, Any]) -> tuple[Generation, int]:
        """Return the answer as it is made, and how many of the oldest turns were forgotten for it.

        The turn is no part of the conversation until it is added to `turns`. Raises `ValueError` as
        `Model.chat` does, and forgets nothing then.
        """
        kept = self._with_room(question)
        messages = [*_messages(self.system, kept), {"role": "user", "content": question}]
        answer = self.model.chat(messages, stream=True, **self._options, **sampling)
        num_dropped = len(self.turns) - len(kept)
        self.turns = kept
        return answer, num_dropped

    def _with_room(self, question: str) -> list[Turn]:
        """The latest turns beside which the question and an answer of some length fit."""
        length = self.model.context_length
        room = length - min(_ANSWER_TOKENS, length // 4)
        kept = list(self.turns)
        asked = {"role": "user", "content": question}
        while kept and len(self._ids([*_messages(self.system, kept), asked])) > room:
            del kept[0]
        return kept

    def _messages(self) -> list[dict[str, str]]:
        return _messages(self.system, self.turns)

    def _ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        return self.model.chat_ids(messages, None, self._options.get("chat_template_kwargs"))


def _messages(system: str | None, turns: Sequence[Turn]) -> list[dict[str, str]]:
    opening = [{"role": "system", "content": system}] if system else []
    return opening + [message for turn in turns for message in turn.messages]
