"""Tasks scored one after the other, samples in order, each batch kept as soon as it is known."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from phonelm.evaluate.perplexity import mean_and_error
from phonelm.evaluate.questions import METRICS, Prompt, Question
from phonelm.evaluate.records import Record, Records, records_path
from phonelm.evaluate.scorers import Scorer
from phonelm.evaluate.tasks import GROUPS, ChoiceTask, PromptTask, Task
from phonelm.progress import Progress

_REQUESTS_AT_ONCE = 256
_PROMPTS_AT_ONCE = 16
_T = TypeVar("_T")


@dataclass(frozen=True)
class Options:
    """How tasks are asked. `shots`: None for each task's own number."""

    shots: int | None = None
    limit: int | None = None
    seed: int = 0
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.shots is not None and not 0 <= self.shots <= 100:
            raise ValueError(f"shots is {self.shots}; give 0 to 100")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit is {self.limit}; give 1 or more, or leave it out for all samples")


@dataclass(frozen=True)
class Value:
    """A metric's mean over samples and its standard error, which one sample has not."""

    value: float
    stderr: float | None


@dataclass(frozen=True)
class TaskResult:
    """What a task's samples came to."""

    task: str
    version: float
    shots: int
    num_samples: int
    num_cut: int
    """Samples that lost their beginning, as they did not fit into the context."""
    metrics: dict[str, Value]
    headline: str
    about: str
    seconds: float
    """Spent now; samples of earlier runs cost nothing."""
    num_tokens: int
    """Evaluated now, as if each request came alone."""
    num_scored_before: int
    records: list[Record] = field(repr=False)


def evaluate(
    tasks: Sequence[Task], scorer: Scorer, options: Options, progress: Progress | None = None
) -> list[TaskResult]:
    """Score the tasks and return their results, in order.

    All sets are here before anything is scored, and what was scored before a stop (Ctrl-C, a crash) is read
    from the cache folder, not scored again. Raises `ValueError` as the tasks and the scorer do.
    """
    for task in tasks:
        task.rows.prepare()
    identity = scorer.identity()
    return [_evaluate(task, scorer, identity, options, progress or Progress()) for task in tasks]


def _evaluate(
    task: Task, scorer: Scorer, identity: dict[str, Any], options: Options, progress: Progress
) -> TaskResult:
    shots = task.default_shots if options.shots is None or isinstance(task, PromptTask) else options.shots
    settings = {
        "task": task.name,
        "version": task.version,
        "shots": shots,
        "seed": options.seed if shots else 0,
    }
    rows = task.rows.read()[: options.limit]
    begun, num_tokens = time.perf_counter(), scorer.num_tokens
    with Records(records_path(identity, settings), fresh=options.fresh) as records:
        missing = [index for index in range(len(rows)) if index not in records.known]
        with progress.bar(task.name, len(rows)) as advance:
            advance(len(rows) - len(missing))
            if isinstance(task, ChoiceTask):
                questions = task.questions([rows[index] for index in missing], shots, options.seed)
                _score_choices(list(zip(missing, questions, strict=True)), scorer, records, advance)
            else:
                prompts = [task.prompt(rows[index]) for index in missing]
                _score_prompts(task, list(zip(missing, prompts, strict=True)), scorer, records, advance)
        scored = [records.known[index] for index in range(len(rows))]
    metrics = {name: _value([row[name] for row in scored]) for name in task.metrics}
    return TaskResult(
        task=task.name,
        version=task.version,
        shots=shots,
        num_samples=len(rows),
        num_cut=sum(bool(row["cut"]) for row in scored),
        metrics=metrics,
        headline=task.headline,
        about=task.about,
        seconds=time.perf_counter() - begun,
        num_tokens=scorer.num_tokens - num_tokens,
        num_scored_before=len(rows) - len(missing),
        records=scored,
    )


def _value(values: Sequence[float]) -> Value:
    """Each sample is a cluster of its own."""
    return Value(*mean_and_error(values, [1] * len(values)))


def _batches(
    samples: Sequence[tuple[int, _T]], sizes: Sequence[int], most: int
) -> Iterator[list[tuple[int, _T]]]:
    """Runs of samples of at most so many requests together, or of one sample."""
    batch: list[tuple[int, _T]] = []
    num_requests = 0
    for sample, size in zip(samples, sizes, strict=True):
        if batch and num_requests + size > most:
            yield batch
            batch, num_requests = [], 0
        batch.append(sample)
        num_requests += size
    if batch:
        yield batch


def _score_choices(
    samples: Sequence[tuple[int, Question]], scorer: Scorer, records: Records, advance: Any
) -> None:
    sizes = [len(question.requests) for _, question in samples]
    for batch in _batches(samples, sizes, _REQUESTS_AT_ONCE):
        scores = iter(scorer.score([request for _, question in batch for request in question.requests]))
        made = []
        for index, question in batch:
            own = [next(scores) for _ in question.requests]
            values = [score.log_probability for score in own]
            made.append(
                {
                    "sample": index,
                    "log_probabilities": values,
                    "greedy": [score.greedy for score in own],
                    "gold": list(question.gold),
                    "cut": max(score.num_cut for score in own),
                    **{name: metric(question, values) for name, metric in METRICS.items()},
                }
            )
        records.add(made)
        advance(len(batch))


def _score_prompts(
    task: PromptTask, samples: Sequence[tuple[int, Prompt]], scorer: Scorer, records: Records, advance: Any
) -> None:
    for batch in _batches(samples, [1] * len(samples), _PROMPTS_AT_ONCE):
        first = batch[0][1]
        written = scorer.write([prompt.text for _, prompt in batch], first.stops, first.max_tokens)
        records.add(
            {
                "sample": index,
                "written": text,
                "answer": prompt.answer,
                "cut": 0,
                "exact_match": float(task.is_right(text, prompt.answer)),
            }
            for (index, prompt), text in zip(batch, written, strict=True)
        )
        advance(len(batch))


def group_means(results: Sequence[TaskResult]) -> dict[str, float]:
    """The means of the groups whose tasks are all there, of their headline metrics."""
    by_name = {result.task: result for result in results}
    means = {name: _group_mean(name, by_name) for name in GROUPS}
    return {name: mean for name, mean in means.items() if mean is not None}


def _group_mean(name: str, results: dict[str, TaskResult]) -> float | None:
    if name in results:
        return results[name].metrics[results[name].headline].value
    group = GROUPS.get(name)
    if group is None:
        return None
    values = [_group_mean(member, results) for member in group.members]
    if any(value is None for value in values):
        return None
    weights = [results[member].num_samples if group.weighs_samples else 1 for member in group.members]
    pairs = zip([value for value in values if value is not None], weights, strict=True)
    return sum(value * weight for value, weight in pairs) / sum(weights)
