"""Options that say what an answer must look like, shared by the verbs that make text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from phonelm.engine import Grammar

JsonSchemaFile = Annotated[
    Path | None, typer.Option("--json-schema", help="File with the JSON schema that answers must follow.")
]
GrammarFile = Annotated[
    Path | None,
    typer.Option("--grammar", help="File with the grammar that answers must follow: GBNF, .lark."),
]
Lookup = Annotated[
    bool,
    typer.Option("--lookup", help="Prompt lookup: draft tokens from repeated text; the same text, faster."),
]


def read_grammar(json_schema: Path | None, grammar: Path | None) -> Grammar | None:
    """Return the grammar that the options name. Raises `ValueError` for two and for one that is not valid."""
    if json_schema and grammar:
        raise ValueError("--json-schema and --grammar are both given; give one")
    path = json_schema or grammar
    if path is None:
        return None
    from phonelm.engine import Grammar

    make = Grammar.json_schema if json_schema else Grammar.lark if path.suffix == ".lark" else Grammar.gbnf
    try:
        return make(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
