"""`phonelm search fit-quality`: learn what a shape is worth from small models trained alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phonelm.search.quality import Predictor
    from phonelm.search.quality.runs import RunRecord
    from phonelm.search.quality.study import StudyConfig


def fit_quality(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the study.")],
    params: Annotated[
        list[str] | None, typer.Option(help="Size of the models: 3M; may be given again.  [1M and 3M]")
    ] = None,
    shapes: Annotated[
        list[int] | None, typer.Option(help="Shapes; once for all sizes or once for each.  [12]")
    ] = None,
    tokens: Annotated[
        list[str] | None,
        typer.Option(help="Training tokens of a model: 2M; once or once for each size.  [2M]"),
    ] = None,
    repeats: Annotated[
        list[int] | None,
        typer.Option(help="Shapes trained twice, to know the noise; once or once for each size.  [2]"),
    ] = None,
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            help="Text: a folder, a file or hf:NAME; may be given again. Python's standard library if not "
            "given.",
        ),
    ] = None,
    vocab: Annotated[int, typer.Option(help="Size of the vocabulary.")] = 2048,
    workers: Annotated[int, typer.Option(min=1, help="Models trained at a time by --executor local.")] = 2,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of each.")] = 1,
    executor: Annotated[
        str, typer.Option(help="local: processes of this machine; ray: a cluster.")
    ] = "local",
    resume: Annotated[
        bool, typer.Option("--resume", help="Accepted; a study in the folder is always resumed.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Train small models of many shapes for equal tokens, and fit what predicts the loss of others.

    Ctrl-C leaves a folder that the same command continues.

    \b
    Example:
      phonelm search fit-quality --params 1M --params 3M --tokens 2M --corpus notes/ --out study/
    """
    from phonelm.data.sources import require_sources
    from phonelm.pipeline.lock import run_lock
    from phonelm.preconditions import TRAINING, require_packages, require_writable
    from phonelm.progress import TerminalProgress
    from phonelm.search.quality.fit import fit_study
    from phonelm.search.quality.study import StudyConfig

    if executor not in ("local", "ray"):
        raise typer.BadParameter(f"--executor {executor} is unknown; choose local or ray")
    settings: dict[str, Any] = {"vocab_size": vocab}
    given = {
        "params": params,
        "shapes": shapes,
        "tokens": tokens,
        "repeats": repeats,
        "corpus": corpus,
    }
    settings |= {name: tuple(values) for name, values in given.items() if values}
    study = StudyConfig.model_validate(settings)
    require_packages(*TRAINING, *(["ray"] if executor == "ray" else []))
    require_sources(study.corpus)
    require_writable(out / "study.json")
    with run_lock(out):
        records, predictor = fit_study(
            study,
            out,
            workers=workers,
            num_threads=threads,
            executor="ray" if executor == "ray" else "local",
            progress=TerminalProgress(),
        )
    print(_document(study, records, predictor)) if json_ else _print_study(records, predictor, out)


def _document(study: StudyConfig, records: Sequence[RunRecord], predictor: Predictor) -> str:
    return json.dumps(
        {
            "study": study.model_dump(mode="json"),
            "runs": [record.model_dump(mode="json") for record in records],
            "evidence": predictor.evidence.model_dump(mode="json"),
            "note": predictor.note,
        }
    )


def _print_study(records: Sequence[RunRecord], predictor: Predictor, out: Path) -> None:
    from rich.table import Table

    from phonelm.cli.tables import output_console, print_table

    console = output_console()
    table = Table()
    for name in ("run", "layers x width", "heads", "FFN", "non-\nembedding", "nats\na byte"):
        table.add_column(name, justify="left" if name == "run" else "right")
    for r in records:
        heads = f"{r.heads}/{r.kv_heads} of {r.head_dim}"
        ffn = f"{r.ffn} {r.activation} {r.intermediate}"
        row = (f"{r.layers} x {r.hidden}", heads, ffn, f"{r.non_embedding / 1e6:.2f}M")
        table.add_row(r.name, *row, f"{r.nats_per_byte:.4f}")
    print_table(console, table)
    console.print(predictor.note, soft_wrap=True)
    console.print(
        f"{out / 'predictor.json'} holds the predictor, {out / 'runs.csv'} the table", soft_wrap=True
    )
