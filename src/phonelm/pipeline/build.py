"""Runs the stages of a recipe in a run folder, each only when something it depends on has changed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from phonelm.files import fingerprint, provenance, write_json
from phonelm.pipeline.lock import run_lock
from phonelm.pipeline.recipe import Recipe
from phonelm.pipeline.stage import Context, Outcome, Stage, StageRecord, read_record
from phonelm.pipeline.stages import stages_of
from phonelm.preconditions import require_writable
from phonelm.progress import Progress
from phonelm.version import package_version


def build(
    recipe: Recipe,
    folder: Path | str,
    progress: Progress | None = None,
    stages: Sequence[Stage] | None = None,
) -> dict[str, StageRecord]:
    """Bring every stage of the recipe (or those given) up to date and return their records, in order.

    A stage is run when its part of the recipe, the results of the stages it needs, or the version changed, or
    when its files are gone; one that was interrupted resumes where it can. Raises `ValueError` and
    `OSError` as the stages do, for what is missing (packages, sources, rights) before the first of them; what
    was finished before stays.
    """
    context = Context(recipe, Path(folder), progress or Progress())
    stages = stages_of(recipe) if stages is None else stages
    for stage in stages:
        stage.check(recipe)
    require_writable(context.path("recipe.json"))
    with run_lock(context.folder):
        write_json(context.path("recipe.json"), recipe.model_dump(mode="json"))
        records: dict[str, StageRecord] = {}
        for stage in stages:
            records[stage.name] = _bring_up_to_date(stage, context, records)
    return records


def _bring_up_to_date(stage: Stage, context: Context, records: dict[str, StageRecord]) -> StageRecord:
    wanted = _fingerprint(stage, context.recipe, records)
    record = read_record(context.folder, stage.name)
    if record and record.fingerprint == wanted and all(context.path(name).exists() for name in stage.outputs):
        context.progress.line(f"{stage.name:<9} done before  {record.summary}")
        return record
    begin = time.perf_counter()
    outcome = stage.run(context)
    record = _record(stage, context.recipe, wanted, outcome, time.perf_counter() - begin)
    record.save(context.folder)
    context.progress.line(f"{stage.name:<9} {record.seconds:>9.1f} s  {record.summary}")
    return record


def _fingerprint(stage: Stage, recipe: Recipe, records: dict[str, StageRecord]) -> str:

    inputs = {name: records[name].digest for name in stage.needs}
    own = {"settings": stage.settings(recipe), "state": stage.state(recipe)}
    return fingerprint({**own, "inputs": inputs, "version": package_version()})


def _record(stage: Stage, recipe: Recipe, wanted: str, outcome: Outcome, seconds: float) -> StageRecord:
    settings: Any = stage.settings(recipe)
    return StageRecord(
        name=stage.name,
        fingerprint=wanted,
        digest=fingerprint(outcome.digest),
        summary=outcome.summary,
        seconds=round(seconds, 2),
        made=provenance(config=settings, seed=recipe.seed, wall_s=round(seconds, 3)),
    )
