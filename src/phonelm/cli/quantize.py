"""`phonelm quantize`: a Hugging Face checkpoint to a GGUF file."""

from __future__ import annotations

import json
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class WeightType(str, Enum):
    """Types a matrix can be stored in."""

    f32 = "f32"
    f16 = "f16"
    bf16 = "bf16"
    q8_0 = "q8_0"
    q4_0 = "q4_0"
    q4_1 = "q4_1"


def quantize(
    folder: Annotated[Path, typer.Argument(help="Hugging Face folder of a llama or phonelm checkpoint.")],
    out: Annotated[Path, typer.Option("--out", "-o", "--output", help="GGUF file to write.")],
    type_: Annotated[
        WeightType, typer.Option("--type", help="Type of the layers' matrices.")
    ] = WeightType.q4_0,
    embedding_type: Annotated[
        WeightType | None,
        typer.Option(help="Type of embedding and head; q8_0 under 4 and 8-bit types, else --type."),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a checkpoint as GGUF, with its tokenizer and chat template.

    \b
    Example:
      phonelm quantize runs/nano/decay --type q4_0 -o model.gguf
    """
    from phonelm.formats import convert_checkpoint
    from phonelm.progress import TerminalProgress

    embedding = embedding_type.value if embedding_type else None
    summary = convert_checkpoint(folder, out, type_.value, embedding, TerminalProgress())
    if json_:
        print(json.dumps(summary))
        return
    types = ", ".join(f"{count} {name}" for name, count in summary["types"].items())
    print(
        f"{summary['file']}: {summary['file_bytes'] / 1e6:.1f} MB, "
        f"{summary['bits_per_weight']:.2f} bits per weight, "
        f"{summary['num_parameters'] / 1e6:.1f} M parameters ({types})"
    )
