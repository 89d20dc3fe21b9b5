"""A session: a text that is evaluated once and then continued, forked, saved and restored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from phonelm._native import CHUNK_TOKENS
from phonelm.engine.chat_input import Message, merged_variables
from phonelm.engine.constraint import Constraint
from phonelm.engine.generation import Generation
from phonelm.engine.grammar import Grammar, rule_of
from phonelm.engine.sampling import SamplingOptions
from phonelm.engine.session_pool import common_prefix
from phonelm.ranges import require_whole
from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm import _native
    from phonelm.engine.tokenizer import Tokenizer


class Session:
    """A sequence of tokens on a model, with its keys and values; made by `Model.new_session`.

    One run of generation at a time: starting the next ends the one before. Every method raises `ValueError`
    after `close`.
    """

    def __init__(self, tokenizer: Tokenizer, native: _native.Session) -> None:
        self._tokenizer = tokenizer
        self._session: _native.Session | None = native
        self._known: list[int] = native.tokens
        self._run: Generation | None = None

    @property
    def native(self) -> _native.Session:
        """The native session."""
        if self._session is None:
            raise ValueError("the session is closed; open another")
        return self._session

    @property
    def tokens(self) -> list[int]:
        """All tokens so far, those of the last run's answer included."""
        return self._known + (self._run.tokens if self._run else [])

    @property
    def text(self) -> str:
        """The tokens so far as text."""
        return self._tokenizer.decode(self.tokens)

    @property
    def position(self) -> int:
        """Number of tokens so far, those that the context has slid past included."""
        return len(self.tokens)

    def evaluate(self, text: str | Sequence[int], *, parse_special: bool = False) -> None:
        """Append a text (or token ids) without generating, such as a prefix to save or fork.

        Raises `ValueError` for one that does not fit into a context that stops.
        """
        self._settle()
        new = self._encoded(text, parse_special)
        for at in range(0, len(new), CHUNK_TOKENS):
            self.native.prefill(new[at : at + CHUNK_TOKENS])
        self._known = self.native.tokens

    def generate(
        self,
        text: str | Sequence[int] = "",
        *,
        grammar: Grammar | None = None,
        constraint: Constraint | None = None,
        lookup: bool = False,
        parse_special: bool = False,
        **options: Any,
    ) -> Generation:
        """Continue the text so far with `text` (or token ids) put after it; options as `Model.generate`."""
        rule = rule_of(self._tokenizer, grammar, constraint)
        options = {"max_tokens": 256, **options}
        self._settle()
        return self._start(self._known + self._encoded(text, parse_special), options, rule, lookup)

    def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        chat_template_kwargs: Mapping[str, Any] | None = None,
        grammar: Grammar | None = None,
        constraint: Constraint | None = None,
        lookup: bool = False,
        **options: Any,
    ) -> Generation:
        """Answer a conversation from what of it is evaluated; what differs behind it is forgotten.

        Options and variables of the chat template as in `Model.chat`.

        Raises `ValueError` where the context has slid past the place where the two part.
        """
        rule = rule_of(self._tokenizer, grammar, constraint)
        variables = merged_variables(chat_template_kwargs, take_variables(options, self._tokenizer))
        options = {"max_tokens": 512, **options}
        self._settle()
        ids = self._tokenizer.chat_ids(messages, tools, variables)
        self.native.truncate(common_prefix(self.native.tokens, ids[:-1]))
        return self._start(ids, options, rule, lookup)

    def truncate(self, position: int) -> None:
        """Forget the tokens from `position` on; `ValueError` for a place ahead or that has slid out."""
        self._settle()
        self.native.truncate(require_whole("position", position, 0))
        self._known = self.native.tokens

    def fork(self, context_length: int | None = None) -> Session:
        """Return an independent session that begins with the same tokens; `ValueError` once it has slid."""
        self._settle()
        length = self.native.context_length
        if context_length is not None:
            length = require_whole("context length", context_length, 1)
        return Session(self._tokenizer, self.native.fork(self.native.position, length))

    def save(self, path: str | Path) -> None:
        """Write the session to a file, whole or not at all. A link stays; the file it leads to is replaced.

        `Model.restore_session` continues from it bit for bit. Raises `OSError` where that fails, `ValueError`
        for a device or a pipe.
        """
        self._settle()
        self.native.save(str(path))

    def close(self) -> None:
        """Let go of the keys and values."""
        self._end_run()
        self._session = None

    def __repr__(self) -> str:
        return f"<Session: {counted(self.position, 'token')}{'' if self._session else ', closed'}>"

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _encoded(self, text: str | Sequence[int], parse_special: bool) -> list[int]:
        if not isinstance(text, str):
            return self._tokenizer.checked_ids(text)
        encode = self._tokenizer.encode if self._known else self._tokenizer.encode_prompt
        return encode(text, parse_special)

    def _start(
        self, ids: list[int], options: dict[str, Any], rule: Constraint | None, lookup: bool
    ) -> Generation:
        sampling = SamplingOptions.from_keywords(options)
        native = self.native
        if not ids:
            raise ValueError("the session is empty; give at least one token of text")
        if len(ids) - native.position > native.room:
            raise ValueError(
                f"the text has {len(ids)} tokens and the context holds {native.context_length}; shorten it, "
                "or open a session whose context slides"
            )
        if native.position == len(ids) and not native.logits_are_current:
            native.truncate(len(ids) - 1)
        self._run = Generation(native, ids, self._tokenizer, sampling, constraint=rule, lookup=lookup)
        self._known = ids
        return self._run

    def _end_run(self) -> None:
        if self._run is None:
            return
        try:
            self._run.close()
        except ValueError:
            raise ValueError("the session generates in another thread; cancel that run first") from None
        self._known, self._run = self._known + self._run.tokens, None

    def _settle(self) -> None:
        """End the last run, and evaluate what of its answer is not."""
        native = self.native
        self._end_run()
        # A run cut within its prompt has evaluated a part of it; one in a full context keeps one token more.
        rest = self._known[native.position :]
        native.prefill(rest[: native.room]) if rest and native.room else None
        self._known = native.tokens


def take_variables(options: dict[str, Any], tokenizer: Tokenizer) -> dict[str, Any]:
    """Remove from the keywords of a chat those that are variables of the chat template, and return them."""
    others = options.keys() - {option.name for option in fields(SamplingOptions)}
    return {name: options.pop(name) for name in others & tokenizer.chat_template.variables} if others else {}
