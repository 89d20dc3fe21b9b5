"""Answers, and what is shown of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from phonelm.cli.answers import cut_note, speed_line
from phonelm.cli.chat.conversation import Conversation, Turn
from phonelm.cli.chat.settings import Settings

if TYPE_CHECKING:
    from phonelm.engine import Generation


def say(text: str) -> None:
    """Print what is no part of an answer."""
    print(text, file=sys.stderr, flush=True)


@dataclass
class Talk:
    """A conversation with someone: answers go to standard output, or with `is_silent` to `answers` only."""

    conversation: Conversation
    settings: Settings
    verbose: bool = False
    is_silent: bool = False
    answers: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, question: str) -> None:
        """Answer a question, and say what stops that. Ctrl-C ends the answer and keeps what was made."""
        try:
            self.answer_or_raise(question)
        except ValueError as error:
            self.answers.append({"question": question, "error": str(error)})
            say(str(error))

    def answer_or_raise(self, question: str, interruptible: bool = True) -> None:
        """Answer a question. Raises `ValueError` as `Conversation.ask`; then all is as before."""
        run = None
        try:
            run, num_dropped = self.conversation.ask(question, self.settings.options)
            self._show(run)
            self._say_notes(run, num_dropped)
        except KeyboardInterrupt:
            if not interruptible:
                raise
            self._stop(run)
        # One that was stopped before it began is as one that was never asked for.
        if run is not None and (run.text or run.finish_reason):
            self.conversation.turns.append(Turn(question, run.text))
            self.answers.append(turn_document(question, run))

    def retry(self) -> None:
        """Answer the last question again. Raises `ValueError` where there is none, or as `answer_or_raise`.

        The turn comes back where no answer comes.
        """
        turns = list(self.conversation.turns)
        question = self.undo()
        num_answers = len(self.answers)
        try:
            self.answer_or_raise(question)
        finally:
            if len(self.answers) == num_answers:
                self.conversation.turns = turns

    def undo(self) -> str:
        """Forget the last turn and return its question. Raises `ValueError` where there is none."""
        if not self.conversation.turns:
            raise ValueError("there is no question yet")
        return self.conversation.turns.pop().question

    def _stop(self, run: Generation | None) -> None:
        if run is not None:
            run.close()
        if not self.is_silent:
            print(flush=True)
        say("stopped")

    def _show(self, run: Generation) -> None:
        for piece in run:
            if not self.is_silent:
                print(piece, end="", flush=True)
        if not self.is_silent:
            print(flush=True)

    def _say_notes(self, run: Generation, num_dropped: int) -> None:
        if num_dropped:
            oldest = "question" if num_dropped == 1 else f"{num_dropped} questions"
            say(f"the context was full; forgot the oldest {oldest}")
        if self.verbose:
            say(speed_line(run))
        note = cut_note(run, self.conversation.model.context_length, self.conversation.has_grammar)
        if note:
            say(f"{note}; /clear starts again" if run.finish_reason == "context" else note)


def turn_document(question: str, run: Generation) -> dict[str, Any]:
    """Return what `--json` tells of a turn."""
    return {
        "question": question,
        "text": run.text,
        "finish_reason": run.finish_reason or "cancelled",
        "complete": run.is_complete,
        "prompt_tokens": run.prompt_tokens,
        "reused_tokens": run.reused_tokens,
        "completion_tokens": len(run.tokens),
        "prefill_tok_s": round(run.prefill_tokens_per_s, 2),
        "decode_tok_s": round(run.decode_tokens_per_s, 2),
        "seed": run.options.seed,
    }
