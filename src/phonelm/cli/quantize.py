"""`phonelm quantize`: a Hugging Face checkpoint or a GGUF file to a GGUF file of fewer bits."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from phonelm.progress import Progress

_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0")
_MIXTURES = (
    "q6_k", "q5_k_m", "q5_k_s", "q4_k_m", "q4_k_s", "iq4_nl", "q3_k_l", "q3_k_m", "q3_k_s", "q2_k",
)  # fmt: skip
_ALIASES = ("q5_k", "q4_k", "q3_k")
_BLOCK_TYPES = ("q6_k", "q5_k", "q4_k", "iq4_nl", "q3_k", "q2_k")


def _one_of(names: tuple[str, ...]) -> Callable[[str | None], str | None]:
    def check(value: str | None) -> str | None:
        if value is not None and value.lower() not in names:
            raise typer.BadParameter(f"{value!r} is not a type; choose one of {', '.join(names)}")
        return value and value.lower()

    return check


def quantize(
    call: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            help="Hugging Face folder, GGUF file (of a split model any part), run folder or known name."
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            "--output",
            help="GGUF file to write; one that is there is replaced. With --sweep a folder.",
        ),
    ],
    type_: Annotated[
        str,
        typer.Option(
            "--type",
            "-t",
            callback=_one_of((*_TYPES, *_MIXTURES, *_ALIASES)),
            help=f"One type for the layers' matrices ({', '.join(_TYPES)}), or a mixture by llama.cpp's name "
            f"({', '.join(_MIXTURES)}).",
        ),
    ] = "q4_0",
    embedding_type: Annotated[
        str | None,
        typer.Option(
            callback=_one_of((*_TYPES, *_BLOCK_TYPES)),
            help=f"Type of embedding and head (also {', '.join(_BLOCK_TYPES)}); if not given, q8_0 under "
            "quantized types, q6_k for the logits of a mixture, else --type.",
        ),
    ] = None,
    allow_requantize: Annotated[
        bool,
        typer.Option("--allow-requantize", help="Also quantize weights again that have 6 bits or fewer."),
    ] = False,
    importance: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Text, or JSON lines with a field text, that the model reads first: columns whose inputs "
            "are large get the smaller errors. Take what the model will be used for.",
        ),
    ] = None,
    compensate: Annotated[
        bool,
        typer.Option(
            "--compensate",
            help="With --importance: round column by column, so that later columns make good what earlier "
            "ones lost (GPTQ). Takes minutes, and goes on where it was stopped.",
        ),
    ] = False,
    calibration_tokens: Annotated[
        int | None,
        typer.Option(min=512, help="Tokens of --importance that are read at most; 16384 if not given."),
    ] = None,
    sweep: Annotated[
        bool,
        typer.Option(
            "--sweep",
            help="Measure all types instead: size, speed here, and divergence from the source; with "
            "--importance in every way. Table, picture and page go into the folder --out; goes on where "
            "it was stopped.",
        ),
    ] = False,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="With --sweep: text, or JSON lines, to measure on; never the text of --importance.",
        ),
    ] = None,
    types: Annotated[
        str | None, typer.Option(metavar="TYPE,...", help="With --sweep: only these types.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a checkpoint or a GGUF file as GGUF of fewer bits, with its tokenizer and chat template.

    \b
    Examples:
      phonelm quantize runs/nano/decay --type q4_k_m -o model.gguf
      phonelm quantize model-f16.gguf --type q5_k_m -o model-q5_k_m.gguf
      phonelm quantize model-f16.gguf --importance text.txt --compensate -o model-q4_0.gguf
      phonelm quantize model-f16.gguf --sweep --text other.txt --importance text.txt -o sweep/
    """
    from phonelm.cli.quantize_sweep import run_sweep
    from phonelm.files import check_writable
    from phonelm.progress import TerminalProgress

    _check_together(sweep, importance, text, types, calibration_tokens, compensate)
    if sweep:
        given = call.get_parameter_source("type_")
        if embedding_type is not None or allow_requantize or (given and given.name == "COMMANDLINE"):
            raise typer.BadParameter(
                "--sweep takes neither --type nor --embedding-type nor --allow-requantize; give --types"
            )
        run_sweep(model, out, text, importance, types, calibration_tokens, json_)
        return
    check_writable(out)
    results = sys.stderr if _is_stdout(out) else sys.stdout
    if importance is not None:
        summary = _calibrated(
            model, out, type_, embedding_type, allow_requantize,
            (importance, compensate, calibration_tokens), TerminalProgress(),
        )  # fmt: skip
    else:
        summary = _write(model, out, type_, embedding_type, allow_requantize, TerminalProgress())
    if json_:
        print(json.dumps(summary), file=results)
        return
    counts = ", ".join(f"{count} {name}" for name, count in summary["types"].items())
    print(
        f"{summary['file']}: {summary['file_bytes'] / 1e6:.1f} MB, "
        f"{summary['bits_per_weight']:.2f} bits per weight, "
        f"{summary['num_parameters'] / 1e6:.1f} M parameters ({counts})",
        file=results,
    )


def _write(
    model: str,
    out: Path,
    type_: str,
    embedding_type: str | None,
    allow_requantize: bool,
    progress: Progress,
) -> dict[str, Any]:
    from phonelm.engine import resolve
    from phonelm.formats import convert_checkpoint, requantize_gguf

    folder = Path(model).expanduser()
    if folder.is_dir() and not (folder / "model.gguf").is_file():
        return convert_checkpoint(folder, out, type_, embedding_type, progress)
    return requantize_gguf(resolve(model), out, type_, embedding_type, progress, allow_requantize)


def _calibrated(
    model: str,
    out: Path,
    type_: str,
    embedding_type: str | None,
    allow_requantize: bool,
    text: tuple[Path, bool, int | None],
    progress: Progress,
) -> dict[str, Any]:
    from phonelm.engine.calibration import CalibrationOptions, quantize_calibrated

    path, compensate, tokens = text
    options = CalibrationOptions(path, compensate, tokens or CalibrationOptions.tokens)
    return quantize_calibrated(model, out, type_, options, embedding_type, progress, allow_requantize)


def _check_together(
    sweep: bool,
    importance: Path | None,
    text: Path | None,
    types: str | None,
    calibration_tokens: int | None,
    compensate: bool,
) -> None:
    """Refuse options that would do nothing."""
    if not sweep and (text is not None or types is not None):
        raise typer.BadParameter("--text and --types belong to --sweep; add it, or leave them out")
    if importance is None and (compensate or calibration_tokens is not None):
        raise typer.BadParameter("--compensate and --calibration-tokens need a text; add --importance FILE")
    if sweep and compensate:
        raise typer.BadParameter("--sweep measures every way; leave --compensate out")


def _is_stdout(out: Path) -> bool:
    """Whether the file goes where results are printed, which would become a part of it."""
    try:
        return os.path.samestat(out.stat(), os.fstat(1))
    except OSError:
        return False
