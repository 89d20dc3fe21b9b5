"""`phonelm tokenize`: text to tokens and back, without the weights."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.options import ModelName
from phonelm.cli.prompts import read_prompt
from phonelm.cli.streams import print_json

if TYPE_CHECKING:
    from phonelm.engine import Tokenizer


def tokenize(
    call: typer.Context,
    model: ModelName,
    text: Annotated[
        str | None, typer.Argument(metavar="[TEXT]", help="The text; - or none reads standard input.")
    ] = None,
    prompt_file: Annotated[Path | None, typer.Option(help="File with the text.")] = None,
    ids: Annotated[bool, typer.Option("--ids", help="Print the token ids only, on one line.")] = False,
    count: Annotated[bool, typer.Option("--count", help="Print the number of tokens only.")] = False,
    parse_special: Annotated[
        bool,
        typer.Option(
            "--parse-special",
            help="Texts of control tokens become those tokens; with --detokenize, those tokens their texts.",
        ),
    ] = False,
    no_bos: Annotated[
        bool, typer.Option("--no-bos", help="Without the begin-of-text token that prompts begin with.")
    ] = False,
    detokenize: Annotated[
        bool,
        typer.Option("--detokenize", help="The text is token ids, such as 12 7 99; print what they say."),
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show the tokens of a text as the model reads it.

    A line for each token: its id and its text, quoted. Of the model's file only the tokenizer is read.

    \b
    Example:
      phonelm tokenize smollm2-135m-instruct "Once upon a time"
      phonelm tokenize smollm2-135m-instruct --count < story.txt
      phonelm tokenize smollm2-135m-instruct --detokenize "14126 3365 253 655"
    """
    if sum((ids, count, json_)) > 1:
        call.fail("--ids, --count and --json exclude each other; give one")
    if detokenize and (ids or count or no_bos):
        call.fail("--detokenize takes neither --ids nor --count nor --no-bos")
    source = read_prompt(call, text, None, prompt_file)
    from phonelm.engine import load_tokenizer

    tokenizer = load_tokenizer(model)
    if detokenize:
        tokens = tokenizer.checked_ids(_read_ids(source))
        made = tokenizer.decode(tokens, with_special=parse_special)
        document: dict[str, Any] = {"model": model, "text": made, "tokens": tokens}
        print_json(json.dumps(document, ensure_ascii=False)) if json_ else print(made)
        return
    encode = tokenizer.encode if no_bos else tokenizer.encode_prompt
    tokens = encode(source, parse_special)
    if json_:
        pieces = [_piece(tokenizer, token) for token in tokens]
        document = {"model": model, "text": source, "count": len(tokens), "tokens": pieces}
        print_json(json.dumps(document, ensure_ascii=False))
    elif ids or count:
        print(len(tokens) if count else " ".join(map(str, tokens)))
    else:
        sys.stdout.writelines(_line(tokenizer, token) for token in tokens)


def _read_ids(text: str) -> list[int]:
    words = [word for word in re.split(r"[\s,\[\]]+", text) if word]
    try:
        return [int(word) for word in words]
    except ValueError:
        raise ValueError("these are no token ids; give whole numbers, such as 12 7 99") from None


def _piece(tokenizer: Tokenizer, token: int) -> dict[str, Any]:
    raw = tokenizer.token_bytes(token, with_special=True)
    piece: dict[str, Any] = {"id": token, "piece": raw.decode("utf-8", "replace")}
    return piece if _is_text(raw) else {**piece, "bytes": list(raw)}


def _line(tokenizer: Tokenizer, token: int) -> str:
    raw = tokenizer.token_bytes(token, with_special=True)
    # A part of a character is shown by its bytes.
    shown = json.dumps(raw.decode(), ensure_ascii=False) if _is_text(raw) else raw.hex(" ")
    return f"{token:>7}  {shown}\n"


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
