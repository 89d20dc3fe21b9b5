"""`phonelm train`: one stage of training on prepared data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.streams import print_json
from phonelm.words import counted

if TYPE_CHECKING:
    from phonelm.arch import DecoderConfig


def train(
    folder: Annotated[Path, typer.Argument(help="Folder that `phonelm data` made.")],
    shape: Annotated[
        str, typer.Option(help="A design (design.json), a decoder as JSON, or the name of a preset.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Hugging Face folder to make.")],
    steps: Annotated[int, typer.Option(help="Optimizer steps.")],
    batch: Annotated[int, typer.Option(help="Sequences per step.")] = 32,
    length: Annotated[int, typer.Option(help="Tokens a sequence.")] = 256,
    micro_batch: Annotated[
        int | None, typer.Option(help="Sequences in memory at a time; the whole batch if not given.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="The highest, and that of the stable phase.")] = 1e-3,
    warmup: Annotated[int, typer.Option(help="Steps of rising learning rate.")] = 0,
    decay: Annotated[int, typer.Option(help="Steps of falling learning rate at the end.")] = 0,
    qat: Annotated[
        int, typer.Option(metavar="STEPS", help="The last steps with weights rounded to q4_0 in each pass.")
    ] = 0,
    checkpoint_every: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="Keep a checkpoint each so many steps, in checkpoints/ of --out."),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(help="How many of them, the last ones; all if not given.")
    ] = None,
    init_from: Annotated[Path | None, typer.Option(help="Folder of an earlier stage to start from.")] = None,
    threads: Annotated[int | None, typer.Option(help="CPU threads; torch's choice if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first weights and the samples.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Train a decoder; run the command again to resume after an interruption.

    \b
    Example:
      phonelm train data/ --shape design.json --out stable/ --steps 600 --warmup 40
      phonelm train data/ --shape design.json --out final/ --steps 200 --decay 200 --init-from stable/
    """
    from phonelm.preconditions import TRAINING, require_packages, require_writable
    from phonelm.progress import TerminalProgress
    from phonelm.train import TrainConfig
    from phonelm.train import train as run

    require_packages(*TRAINING)
    require_writable(out)
    config = TrainConfig(
        steps=steps,
        batch_size=batch,
        sequence_length=length,
        micro_batch_size=micro_batch,
        learning_rate=learning_rate,
        warmup_steps=warmup,
        decay_steps=decay,
        qat_steps=qat,
        checkpoint_every_steps=checkpoint_every,
        keep_checkpoints=keep,
        num_threads=threads,
        seed=seed,
    )
    progress = TerminalProgress()
    result = run(config, _decoder(shape), folder, out, init_from=init_from, progress=progress)
    if json_:
        print_json(result.model_dump_json())
    else:
        print(f"{out}: {result.bits_per_byte:.3f} bits per byte, {counted(result.tokens, 'token')}")


def _decoder(shape: str) -> DecoderConfig:
    """Read a shape from a file, or look its name up."""
    from phonelm.arch import DecoderConfig, preset
    from phonelm.files import read_json

    path = Path(shape)
    if path.suffix != ".json" and not path.is_file():
        return preset(shape)
    document: Any = read_json(path)
    if isinstance(document, dict) and "chosen" in document:
        document = document["chosen"]["config"]
    return DecoderConfig.model_validate(document)
