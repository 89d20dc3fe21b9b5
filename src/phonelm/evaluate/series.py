"""The same tasks at several points: with more and more examples, or along a training run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from phonelm.evaluate.run import Options, TaskResult, evaluate
from phonelm.evaluate.scorers import Scorer
from phonelm.evaluate.tasks import ChoiceTask, Task
from phonelm.files import read_json
from phonelm.progress import Progress
from phonelm.run_recipe import RECIPE_FILE, training_stages
from phonelm.train.kept import KEPT_FILE, KEPT_FOLDER

SHOTS = (0, 1, 3, 5)
"""As the survey's study of in-context learning has them, and 3."""


@dataclass(frozen=True)
class Point:
    """The results at one place: a number of examples, or of trained tokens."""

    at: float
    label: str
    model: dict[str, Any]
    """The scorer's identity."""
    results: list[TaskResult]


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face folder of a training run, and the tokens that it has seen in all."""

    name: str
    """Its place in the run."""
    folder: Path
    num_tokens: int


def point_of(
    tasks: Sequence[Task],
    scorer: Scorer,
    options: Options,
    progress: Progress | None = None,
    *,
    at: float = 0,
    label: str = "",
) -> Point:
    """Score tasks at one point."""
    return Point(at, label, scorer.identity(), evaluate(tasks, scorer, options, progress))


def over_shots(
    tasks: Sequence[Task], scorer: Scorer, options: Options, progress: Progress | None = None
) -> list[Point]:
    """Score tasks of choices with 0, 1, 3 and 5 examples.

    Raises `ValueError` for tasks whose examples are part of their prompts.
    """
    if fixed := [task.name for task in tasks if not isinstance(task, ChoiceTask)]:
        raise ValueError(f"the examples of {fixed[0]} are part of its prompt; leave it out")
    return [
        point_of(tasks, scorer, replace(options, shots=shots), progress, at=shots, label=f"{shots} shots")
        for shots in SHOTS
    ]


def checkpoints_of(run: Path) -> list[Checkpoint]:
    """The checkpoints of a run folder or a stage of it, in the order in which they were trained.

    Those that a stage keeps on its way come before its last one, also where it has not come to its end.
    Where there is a recipe, its order counts, and what lies beside its stages does not.

    Raises `ValueError` for a folder without any.
    """
    if not run.is_dir():
        raise ValueError(f"{run} is no folder; give the run folder that `phonelm build` or `train` wrote")
    # A stage goes on from the one before it: tokens add up.
    found: list[Checkpoint] = []
    total = 0
    for folder in _training_folders(run):
        for kept in sorted(folder.glob(f"{KEPT_FOLDER}/step-*")):
            tokens = int(read_json(kept / KEPT_FILE)["tokens"])
            found.append(Checkpoint(str(kept.relative_to(run)), kept, total + tokens))
        if _is_checkpoint(folder):
            total += int(read_json(folder / "train.json")["tokens"])
            found.append(Checkpoint(str(folder.relative_to(run)), folder, total))
    if not found:
        raise ValueError(f"{run} holds no checkpoint (a folder with config.json and train.json); train first")
    return found


def _training_folders(run: Path) -> list[Path]:
    """Where stages of training are, in their order: the recipe's, or without one that of their ends."""
    if (run / RECIPE_FILE).is_file():
        return [run / stage["name"] for stage in training_stages(run)]
    results = sorted(run.rglob("train.json"), key=lambda path: path.stat().st_mtime_ns)
    return [path.parent for path in results]


def _is_checkpoint(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("config.json", "train.json"))


def over_checkpoints(
    tasks: Sequence[Task],
    checkpoints: Sequence[Checkpoint],
    open_scorer: Callable[[Path], Scorer],
    options: Options,
    progress: Progress | None = None,
) -> list[Point]:
    """Score tasks on each of some checkpoints, as `checkpoints_of` finds them."""
    return [
        point_of(
            tasks,
            open_scorer(checkpoint.folder),
            options,
            progress,
            at=checkpoint.num_tokens,
            label=checkpoint.name,
        )
        for checkpoint in checkpoints
    ]
