"""What is said after an answer: how fast it was made, and what cut it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm.engine import Generation


def speed_line(run: Generation) -> str:
    """The tokens of prompt and answer and how many of them a second took."""
    new = run.prompt_tokens - run.reused_tokens
    line = f"{counted(new, 'token')} of the prompt at {run.prefill_tokens_per_s:,.1f} tokens/s"
    if run.reused_tokens:
        line += f" ({run.reused_tokens:,} were known)"
    line += f", {counted(len(run.tokens), 'token')} made"
    return line + (f" at {run.decode_tokens_per_s:,.1f} tokens/s" if len(run.tokens) > 1 else "")


def cut_note(run: Generation, context_length: int, has_grammar: bool) -> str | None:
    """What cut the answer, where the reader must know it: a full context, an end before the grammar's."""
    if has_grammar and not run.is_complete:
        return (
            f"the answer was cut after {counted(len(run.tokens), 'token')}, before its grammar allows an end "
            f"({_CUTS.get(run.finish_reason or '', 'it was stopped')})"
        )
    if run.finish_reason == "context":
        return f"the context of {counted(context_length, 'token')} is full"
    return None


_CUTS = {
    "length": "raise --max-tokens",
    "context": "the context is full",
    "constraint": "no token of the model fits it",
    "stop": "by a stop text",
}
