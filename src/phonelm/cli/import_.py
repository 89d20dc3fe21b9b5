"""`phonelm import`: a GGUF file to a Hugging Face folder that can be trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from phonelm.cli.options import ModelName

_DTYPES = ("float32", "bfloat16", "float16")


def _dtype(value: str) -> str:
    if value.lower() not in _DTYPES:
        raise typer.BadParameter(f"{value!r} is not a type; choose one of {', '.join(_DTYPES)}")
    return value.lower()


def import_(
    model: ModelName,
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to write; it must be empty or not be there.")
    ],
    dtype: Annotated[
        str,
        typer.Option(
            callback=_dtype,
            help=f"Type of the weights that are written: {', '.join(_DTYPES)}. float32 loses nothing.",
        ),
    ] = "float32",
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a GGUF model as a Hugging Face folder, to be trained further.

    The folder has weights (dequantized), tokenizer and chat template, and transformers loads it.

    \b
    Example:
      phonelm import smollm2-135m-instruct smollm2/
      phonelm import model-q4_k_m.gguf model/ --dtype bfloat16
    """
    from phonelm.engine import resolve
    from phonelm.formats import import_gguf
    from phonelm.progress import TerminalProgress
    from phonelm.words import counted, sized

    summary = import_gguf(resolve(model), folder, dtype, TerminalProgress())
    if json_:
        print(json.dumps(summary))
        return
    print(
        f"{summary['folder']}: {summary['model_type']}, {summary['num_parameters'] / 1e6:.1f} M parameters, "
        f"{sized(summary['weight_bytes'])} of {summary['dtype']}, {counted(len(summary['files']), 'file')}"
    )
