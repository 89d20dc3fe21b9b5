"""`phonelm build`: from a recipe to a running model and its report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from phonelm.cli.streams import print_json


def build(
    recipe: Annotated[Path, typer.Argument(help="Recipe in YAML.")],
    data: Annotated[
        str | None, typer.Option(help="Another corpus: a folder, a file, or hf:NAME.", metavar="PATH")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Run folder; runs/<recipe's name> if not given.")
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON document at the end.")] = False,
) -> None:
    """Design, train, quantize and run a model. Finished stages are kept; run again to resume.

    \b
    Example:
      phonelm build recipes/nano.yaml --data notes/
    """
    from phonelm.pipeline import build as run
    from phonelm.pipeline import load_recipe
    from phonelm.progress import TerminalProgress

    loaded = load_recipe(recipe, data=data)
    folder = out or Path("runs") / loaded.name
    progress = TerminalProgress()
    records = run(loaded, folder, progress)
    if json_:
        stages = {name: record.model_dump(mode="json") for name, record in records.items()}
        print_json(json.dumps({"folder": str(folder), "stages": stages}, ensure_ascii=False))
        return
    progress.line(f"report: {folder / 'report.html'}")
    progress.line(f"try it: phonelm generate {folder} --prompt {json.dumps(loaded.run.prompts[0])}")
