"""`phonelm evaluate`: accuracy of a model on tasks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from phonelm.cli.evaluate_backends import Backend, Opener
from phonelm.cli.options import Context, KvType, Threads
from phonelm.cli.streams import print_json

if TYPE_CHECKING:
    from phonelm.evaluate.run import Options
    from phonelm.evaluate.scorers import Scorer
    from phonelm.evaluate.series import Point
    from phonelm.evaluate.tasks import Task
    from phonelm.progress import Progress


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="GGUF file, run or Hugging Face folder, known name; or URL#MODEL of an OpenAI-compatible "
            "endpoint with log-probabilities."
        ),
    ],
    tasks: Annotated[
        str, typer.Option(help="Tasks and groups with commas; phonelm7, survey, mmlu, ... (list names all).")
    ] = "phonelm7",
    shots: Annotated[
        int | None, typer.Option(help="Worked examples before each question; each task's own if not given.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many samples of each task.")] = None,
    seed: Annotated[int, typer.Option(help="Of the examples that --shots draws.")] = 0,
    backend: Annotated[
        Backend,
        typer.Option(help="phonelm: this runtime; torch: transformers; lm-eval: its tasks, in this runtime."),
    ] = Backend.PHONELM,
    samples: Annotated[
        Path | None, typer.Option(help="File for a JSON line for each sample: scores, gold, metrics.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Score again what was scored before with these settings.")
    ] = False,
    icl: Annotated[
        bool, typer.Option("--icl", help="In-context learning: 0, 1, 3 and 5 examples, with a picture.")
    ] = False,
    checkpoints: Annotated[
        bool,
        typer.Option(
            "--checkpoints", help="MODEL is a run folder: score each of its checkpoints, with a picture."
        ),
    ] = False,
    picture: Annotated[
        Path, typer.Option(help="PNG or SVG file for the picture of --icl and --checkpoints.")
    ] = Path("evaluation.png"),
    threads: Threads = None,
    context: Context = None,
    kv: KvType = "f16",
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score a model on tasks, from the very file that ships.

    The sets come with a package that is fetched once. A run that was stopped goes on with the same command.

    \b
    Examples:
      phonelm evaluate smollm2-135m-instruct --tasks arc_easy,piqa --limit 200
      phonelm evaluate model.gguf --tasks phonelm7 --json
      phonelm evaluate list
    """
    if model == "list":
        _list_tasks()
        return
    if icl and (checkpoints or shots is not None):
        raise typer.BadParameter("--icl takes neither --shots nor --checkpoints")
    from phonelm.evaluate.run import Options

    options = Options(shots, limit, seed, fresh)
    opener = Opener(backend, threads, context, kv)
    opener.check(model, {"samples": samples, "icl": icl, "checkpoints": checkpoints, "fresh": fresh})
    if backend is Backend.LM_EVAL:
        opener.by_harness(model, tasks, options)
        return
    from phonelm.evaluate.tasks import tasks_of

    chosen = tasks_of(tasks)
    _check(samples, picture if icl or checkpoints else None)
    from phonelm.progress import TerminalProgress

    progress = TerminalProgress()
    points = _points(model, chosen, opener.scorer, options, icl, checkpoints, progress)
    if samples:
        _write_samples(samples, points)
    if icl or checkpoints:
        _draw(picture, points, "examples in the prompt" if icl else "tokens trained", progress)
    documents = [_document(point) for point in points]
    if json_:
        print_json(json.dumps({"points": documents} if icl or checkpoints else documents[0]))
        return
    for document in documents:
        _print(document)


def _points(
    model: str,
    tasks: Sequence[Task],
    opened: Callable[[str], Scorer],
    options: Options,
    icl: bool,
    checkpoints: bool,
    progress: Progress,
) -> list[Point]:
    """The model is looked at before anything is fetched."""
    from phonelm.evaluate import series
    from phonelm.evaluate.sets import fetch_sets

    if checkpoints:
        found = series.checkpoints_of(Path(model))
        fetch_sets(progress)
        return series.over_checkpoints(tasks, found, lambda folder: opened(str(folder)), options, progress)
    scorer = opened(model)
    fetch_sets(progress)
    if icl:
        return series.over_shots(tasks, scorer, options, progress)
    return [series.point_of(tasks, scorer, options, progress)]


def _check(samples: Path | None, picture: Path | None) -> None:
    """What is needed later is looked at first."""
    from phonelm.preconditions import require_packages, require_writable

    require_packages("pyarrow")
    if picture:
        require_packages("matplotlib")
        require_writable(picture)
    if samples:
        require_writable(samples)


def _draw(path: Path, points: Sequence[Point], axis: str, progress: Progress) -> None:
    from phonelm.report.evaluation_figure import accuracy_figure

    accuracy_figure(points, axis).write(path)
    progress.line(f"picture: {path}")


def _list_tasks() -> None:
    from phonelm.evaluate.tasks import GROUPS, TASKS

    for group in GROUPS.values():
        members = group.members if len(group.members) < 10 else (f"{len(group.members)} subjects",)
        print(f"{group.name:32} {', '.join(members)}")
    for task in TASKS.values():
        print(f"{task.name:32} {task.about}")


def _write_samples(path: Path, points: Sequence[Point]) -> None:
    from phonelm.files import write_text

    rows = [
        {"task": result.task, "at": point.label, **record}
        for point in points
        for result in point.results
        for record in result.records
    ]
    write_text(path, "".join(json.dumps(row) + "\n" for row in rows))


def _document(point: Point) -> dict[str, Any]:
    from phonelm.devices import machine_record
    from phonelm.evaluate.run import group_means
    from phonelm.files import provenance

    rows = []
    for result in point.results:
        row = dataclasses.asdict(result)
        del row["records"]
        rows.append(row)
    return {
        "made": provenance(),
        "machine": machine_record(),
        "model": point.model,
        "at": {"label": point.label, "value": point.at},
        "tasks": rows,
        "means": group_means(point.results),
        "seconds": sum(result.seconds for result in point.results),
        "num_tokens": sum(result.num_tokens for result in point.results),
    }


def _print(document: dict[str, Any]) -> None:
    from rich.table import Table

    from phonelm.cli.tables import output_console, print_table

    model = document["model"]
    console = output_console()
    head = (model["file"], f"sha256 {model.get('sha256', 'unknown')[:16]}", document["at"]["label"])
    console.print("  ".join(filter(None, head)), markup=False)
    table = Table("task", "version", "shots", "metric", "value", "± stderr", "samples")
    for row in document["tasks"]:
        for name, value in row["metrics"].items():
            error = "" if value["stderr"] is None else f"{value['stderr']:.4f}"
            cells = (row["task"], row["version"], row["shots"], name, f"{value['value']:.4f}", error)
            table.add_row(*map(str, cells), str(row["num_samples"]))
    for name, mean in document["means"].items():
        table.add_row(name, "", "", "mean", f"{mean:.4f}", "", "")
    print_table(console, table)
    for line in _notes(document):
        console.print(line, markup=False, soft_wrap=True)


def _notes(document: dict[str, Any]) -> list[str]:
    lines = [f"{row['task']}: {row['about']}" for row in document["tasks"]]
    lines.append("acc_norm: the choice that is most likely per character of its text")
    for row in document["tasks"]:
        if row["num_cut"]:
            lines.append(f"{row['task']}: {row['num_cut']} samples were cut at their beginning to fit")
    before = sum(row["num_scored_before"] for row in document["tasks"])
    if before:
        lines.append(f"{before:,} samples had been scored before (--fresh scores them again)")
    if document["num_tokens"]:
        rate = document["num_tokens"] / document["seconds"]
        lines.append(f"{document['seconds']:.1f} s, {rate:,.0f} tokens/s of requests")
    return lines
