"""Grammars that an answer must follow (JSON schema, GBNF, regular expressions, Lark), through llguidance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from phonelm.engine.constraint import Constraint, TokenMask
from phonelm.engine.grammar_vocabulary import import_llguidance

if TYPE_CHECKING:
    from phonelm.engine.tokenizer import Tokenizer

_SHOWN = 60
"""Characters of a grammar that stand for it."""
_JSON_DEFAULTS = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON on one line, as `json.dumps` writes it: an unconstrained model may fill an answer with white space."""
_MAX_MESSAGE = 300


class Grammar:
    """What an answer must look like; made by one of the class methods, used for any number of answers.

    All raise `ValueError` with llguidance's message for what does not compile, and `ModuleNotFoundError`
    where llguidance is not installed (`pip install 'phonelm[grammar]'`).
    """

    def __init__(self, source: str) -> None:
        """Take a grammar in llguidance's own form; see the class methods."""
        self._source = source
        is_error, messages = import_llguidance().LLMatcher.validate_grammar_with_warnings(source)
        if is_error:
            raise ValueError(f"the grammar does not compile: {_one_line(messages[0])}")

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | str) -> Grammar:
        """Return the grammar of JSON texts that a schema (an object or its text) accepts.

        Keywords that are not supported are refused; unknown ones are annotations, as the standard says.
        Objects have no properties but those that the schema names, unless it has `additionalProperties`. The
        text is on one line with `", "` and `": "`; `"x-guidance"` in the schema changes that.
        """
        import_llguidance()
        from phonelm.engine.grammar_schema import prepared_schema

        try:
            text = prepared_schema(schema)
            if '"oneOf"' in text:
                # Alternatives that exclude each other closed need not do so as the schema has them, open.
                cls._of_prepared(prepared_schema(schema, closed=False))
            return cls._of_prepared(text)
        except ValueError as error:
            raise ValueError(f"JSON schema: {_one_line(str(error))}") from None

    @classmethod
    def _of_prepared(cls, schema: str) -> Grammar:
        return cls(import_llguidance().LLMatcher.grammar_from_json_schema(schema, defaults=_JSON_DEFAULTS))

    @classmethod
    def gbnf(cls, text: str) -> Grammar:
        """Return the grammar of a GBNF text, llama.cpp's form; its rule `root` is the start."""
        engine = import_llguidance()
        from phonelm.engine.grammar_gbnf_lark import lark_of

        try:
            lark = lark_of(text)
        except RecursionError:
            raise ValueError(
                "the GBNF grammar has too much within each other; make parts of it rules"
            ) from None
        except ValueError as error:
            raise ValueError(f"the GBNF grammar does not parse: {error}") from None
        return cls(engine.LLMatcher.grammar_from_lark(lark))

    @classmethod
    def regex(cls, pattern: str) -> Grammar:
        """Return the grammar of texts that a regular expression (Rust's syntax) matches as a whole."""
        return cls(import_llguidance().LLMatcher.grammar_from_regex(pattern))

    @classmethod
    def lark(cls, text: str) -> Grammar:
        """Return the grammar of a Lark text in llguidance's dialect; its rule `start` is the start."""
        engine = import_llguidance()
        from phonelm.engine.grammar_lark import prepared_lark

        try:
            lark = prepared_lark(text)
        except ValueError as error:
            raise ValueError(f"Lark grammar: {error}") from None
        return cls(engine.LLMatcher.grammar_from_lark(lark))

    def constraint(self, tokenizer: Tokenizer) -> GrammarConstraint:
        """Return the state of one answer's start, for a model's tokens."""
        return GrammarConstraint(
            import_llguidance().LLMatcher(tokenizer.grammar_vocabulary, self._source, log_level=0)
        )

    def __repr__(self) -> str:
        shown = self._source if len(self._source) <= _SHOWN else self._source[:_SHOWN] + "..."
        return f"<Grammar: {shown}>"


class GrammarConstraint:
    """A `Constraint` by a grammar. Raises `ValueError` where the grammar becomes too complex on the way."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher
        self._check(not matcher.is_error())

    @property
    def is_finished(self) -> bool:
        """Whether nothing but the answer's end may follow."""
        return bool(self._matcher.is_stopped())

    def fill_mask(self, mask: TokenMask) -> None:
        """Set the bits of the tokens that may come next."""
        self._matcher.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
        self._check(not self._matcher.is_error())

    def accept(self, token: int) -> None:
        """Take the next token."""
        self._check(self._matcher.consume_token(token))

    def forced(self) -> Sequence[int]:
        """Return the tokens that the grammar leaves no choice about, as the tokenizer would split them."""
        return list(self._matcher.compute_ff_tokens())

    def rollback(self, num_tokens: int) -> None:
        """Forget the last tokens accepted."""
        self._check(num_tokens == 0 or self._matcher.rollback(num_tokens))

    def _check(self, holds: bool) -> None:
        if not holds:
            # After the message, the engine prints its state and the whole grammar.
            message = _one_line(self._matcher.get_error().split("<state>")[0])
            raise ValueError(
                f"the grammar cannot go on ({message}); it may ask for a character that the model has "
                "no tokens for"
            )


def rule_of(
    tokenizer: Tokenizer, grammar: Grammar | None, constraint: Constraint | None
) -> Constraint | None:
    """Return the constraint that a caller asks for in one of two ways. Raises `ValueError` for both."""
    if grammar is None:
        return constraint
    if constraint is not None:
        raise ValueError("a grammar and a constraint are both given; give one")
    return grammar.constraint(tokenizer)


def _one_line(text: str) -> str:
    """Return a message of the engine, which may hold a whole expression, as one line to be read."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_MESSAGE else line[: _MAX_MESSAGE - 3] + "..."
