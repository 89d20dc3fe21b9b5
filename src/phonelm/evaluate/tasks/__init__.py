"""The tasks that are scored, by name, and their groups."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from phonelm.evaluate.tasks.choices import CHOICE_TASKS
from phonelm.evaluate.tasks.mathematics import MATHEMATICS_TASKS
from phonelm.evaluate.tasks.mmlu import MMLU_TASKS
from phonelm.evaluate.tasks.task import ChoiceTask, Form, PromptTask, Task

_ALL: tuple[Task, ...] = (*CHOICE_TASKS, *MMLU_TASKS, *MATHEMATICS_TASKS)
TASKS = {task.name: task for task in _ALL}

_COMMONSENSE = (
    "hellaswag", "truthfulqa_mc2", "winogrande", "commonsense_qa", "piqa", "openbookqa", "boolq",
)  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Tasks whose headline metrics have a mean: of the tasks, or of all their samples."""

    name: str
    members: tuple[str, ...]
    """Of tasks and groups."""
    weighs_samples: bool = False


_GROUPS = (
    Group(
        "phonelm7",
        ("hellaswag", "winogrande", "piqa", "sciq", "boolq", "arc_easy", "arc_challenge"),
    ),
    Group("mmlu", tuple(task.name for task in MMLU_TASKS), weighs_samples=True),
    Group(
        "minerva_math",
        tuple(task.name for task in MATHEMATICS_TASKS if task.name != "gsm8k"),
        weighs_samples=True,
    ),
    Group("commonsense", _COMMONSENSE),
    Group("problem_solving", ("arc_easy", "arc_challenge", "mmlu")),
    Group("mathematics", ("gsm8k", "minerva_math")),
    Group("survey", ("commonsense", "problem_solving", "mathematics")),
)
GROUPS = {group.name: group for group in _GROUPS}


def tasks_of(names: str) -> list[Task]:
    """The tasks of a list of names with commas, each once, groups as their members.

    Raises `ValueError` for a name that is not there, with the nearest.
    """
    found: dict[str, Task] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        for task in _named(name):
            found[task.name] = task
    if not found:
        raise ValueError(f"no task is named; known are {', '.join((*GROUPS, *map(str, TASKS)))}")
    return list(found.values())


def _named(name: str) -> list[Task]:
    if name in TASKS:
        return [TASKS[name]]
    if name in GROUPS:
        return [task for member in GROUPS[name].members for task in _named(member)]
    known = [*GROUPS, *TASKS]
    near = difflib.get_close_matches(name.lower(), known, n=3, cutoff=0.5)
    told = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(known[:20])}, ..."
    raise ValueError(f"there is no task {name!r}; {told} (other lm-eval tasks: --backend lm-eval)")


__all__ = ["GROUPS", "TASKS", "ChoiceTask", "Form", "Group", "PromptTask", "Task", "tasks_of"]
