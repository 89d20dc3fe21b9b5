"""The options of the verbs that judge a model by a text, and the windows that they give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.streams import standard_input

if TYPE_CHECKING:
    from phonelm.engine import Model
    from phonelm.evaluate import EvaluationText, TextWindows

TextFile = Annotated[
    str,
    typer.Option(
        "--text",
        metavar="FILE",
        help="UTF-8 text, or .jsonl with a field text (documents apart); - reads a text from standard input.",
    ),
]
WindowContext = Annotated[
    int | None,
    typer.Option("--context", help="Tokens of a window; 1024, or the model's context if that is less."),
]
WindowStride = Annotated[
    int | None,
    typer.Option("--stride", help="Tokens from one window to the next; half the window if not given."),
]
LimitTokens = Annotated[
    int | None, typer.Option(min=1, max=2**31 - 1, help="Take this many tokens of the text at most.")
]


def read_evaluation_text(name: str) -> EvaluationText:
    """Return the text of a file or of standard input (`-`). Raises as `evaluate.read_text`."""
    from phonelm.evaluate import read_text, text_of

    return text_of(standard_input().buffer.read(), "standard input") if name == "-" else read_text(name)


def cut_text(
    models: list[Model], text: EvaluationText, context: int | None, stride: int | None, limit: int | None
) -> tuple[TextWindows, dict[str, Any]]:
    """Return windows that fit all models, of the first one's tokens, and the settings that made them.

    Raises `ValueError` for a context or stride out of range, and a text without a token to score.
    """
    from phonelm.evaluate import CONTEXT, check_window, text_windows

    longest = min(model.context_length for model in models)
    size = min(CONTEXT, longest) if context is None else context
    step = max(size // 2, 1) if stride is None else stride
    check_window(size, step, longest)
    windows = text_windows(models[0].tokenizer, text.documents, size, step, limit)
    return windows, {"context": size, "stride": step, "limit_tokens": limit}


def text_document(text: EvaluationText, windows: TextWindows) -> dict[str, Any]:
    """What was scored, for a JSON document."""
    return {
        "name": text.name,
        "sha256": text.sha256,
        "file_bytes": text.file_bytes,
        "documents": len(text.documents),
        "windows": len(windows.windows),
        "tokens": sum(window.num_scored for window in windows.windows),
        "bytes": sum(window.num_bytes for window in windows.windows),
        "unscored_tokens": windows.num_unscored,
    }


def text_lines(text: EvaluationText, windows: TextWindows, settings: dict[str, Any]) -> list[str]:
    """The same for a person."""
    from phonelm.words import counted

    said = text_document(text, windows)
    lines = [
        f"{text.name} (sha256 {text.sha256})",
        f"{counted(said['tokens'], 'token')} scored, {counted(said['bytes'], 'byte')}, "
        f"{counted(said['documents'], 'document')}, {counted(said['windows'], 'window')} of "
        f"{settings['context']:,} tokens, stride {settings['stride']:,}",
    ]
    if windows.num_unscored:
        lines.append(
            f"{counted(windows.num_unscored, 'token')} not scored: nothing stands before, "
            "and the model's texts begin with no special token"
        )
    return lines
