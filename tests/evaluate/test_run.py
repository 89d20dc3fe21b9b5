from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from evaluation_rows import ROWS
from phonelm.engine import Model, load
from phonelm.evaluate.questions import Prompt
from phonelm.evaluate.run import Options, TaskResult, Value, evaluate, group_means
from phonelm.evaluate.scorers import RuntimeScorer, Score
from phonelm.evaluate.tasks import GROUPS, TASKS, ChoiceTask, PromptTask
from phonelm.progress import Progress


@dataclass(frozen=True)
class Given:
    """Rows that are here."""

    rows: tuple[dict[str, Any], ...]

    def prepare(self) -> None:
        pass

    def read(self) -> list[dict[str, Any]]:
        return list(self.rows)


def _task(name: str, count: int) -> ChoiceTask:
    task = TASKS[name]
    assert isinstance(task, ChoiceTask)
    rows = tuple(
        {**ROWS[name][0], "goal": f"Goal number {number}.", "label": number % 2} for number in range(count)
    )
    return replace(task, rows=Given(rows))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def model(tiny_gguf: Path) -> Iterator[Model]:
    with load(tiny_gguf) as opened:
        yield opened


class Counting(RuntimeScorer):
    """Counts requests, and is stopped after some."""

    def __init__(self, model: Model, stop_after: int | None = None) -> None:
        super().__init__(model)
        self.num_requests = 0
        self._stop_after = stop_after

    def score(self, requests: Sequence[tuple[str, str]]) -> list[Score]:
        if self._stop_after is not None and self.num_requests >= self._stop_after:
            raise KeyboardInterrupt
        self.num_requests += len(requests)
        return super().score(requests)


def test_scores_are_those_of_the_model(model: Model) -> None:
    (result,) = evaluate([_task("piqa", 5)], RuntimeScorer(model), Options())
    for number, record in enumerate(result.records):
        context = f"Question: Goal number {number}.\nAnswer:"
        for choice, value in zip(
            ("Twist its lid.", "Shout at it."), record["log_probabilities"], strict=True
        ):
            expected, _ = model.loglikelihood(context, f" {choice}")
            assert value == pytest.approx(expected, abs=2e-3)
    right = [float(record["acc"]) for record in result.records]
    assert result.metrics["acc"].value == pytest.approx(sum(right) / 5)
    assert (result.num_samples, result.num_cut, result.shots) == (5, 0, 0)


def test_a_stopped_run_goes_on_to_the_same_end(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phonelm.evaluate.run._REQUESTS_AT_ONCE", 8)
    task = _task("piqa", 30)
    (whole,) = evaluate([task], RuntimeScorer(model), Options(seed=1))
    stopped = Counting(model, stop_after=24)
    with pytest.raises(KeyboardInterrupt):
        evaluate([task], stopped, Options(seed=1, fresh=True))
    rest = Counting(model)
    (resumed,) = evaluate([task], rest, Options(seed=1))
    assert stopped.num_requests + rest.num_requests == 60
    assert resumed.num_scored_before == stopped.num_requests // 2
    assert resumed.records == whole.records


def test_a_line_that_was_cut_is_scored_again(model: Model, cache: Path) -> None:
    task = _task("piqa", 6)
    (whole,) = evaluate([task], RuntimeScorer(model), Options())
    (file,) = cache.rglob("piqa.jsonl")
    file.write_bytes(file.read_bytes()[:-20])
    again = Counting(model)
    (resumed,) = evaluate([task], again, Options())
    assert again.num_requests == 2
    assert resumed.records == whole.records
    assert [json.loads(line)["sample"] for line in file.read_text().splitlines()] == list(range(6))


def test_a_damaged_record_is_refused_with_what_to_do(model: Model, cache: Path) -> None:
    evaluate([_task("piqa", 3)], RuntimeScorer(model), Options())
    (file,) = cache.rglob("piqa.jsonl")
    file.write_text("nonsense\n" + file.read_text())
    with pytest.raises(ValueError, match=r"piqa.jsonl is damaged.*--fresh"):
        evaluate([_task("piqa", 3)], RuntimeScorer(model), Options())


def test_other_settings_are_scored_apart(model: Model) -> None:
    task = _task("piqa", 8)
    evaluate([task], RuntimeScorer(model), Options())
    for options, num_new in ((Options(shots=2), 8), (Options(shots=2, seed=1), 8), (Options(seed=1), 0)):
        (result,) = evaluate([task], RuntimeScorer(model), options)
        assert result.num_samples - result.num_scored_before == num_new


def test_a_limit_takes_the_first(model: Model) -> None:
    (few,) = evaluate([_task("piqa", 9)], RuntimeScorer(model), Options(limit=4))
    (more,) = evaluate([_task("piqa", 9)], RuntimeScorer(model), Options(limit=7))
    assert (few.num_samples, more.num_samples, more.num_scored_before) == (4, 7, 4)


def test_a_long_context_loses_its_beginning(tiny_gguf: Path) -> None:
    with load(tiny_gguf, context_length=64) as model:
        task = _task("piqa", 2)
        long = tuple({**row, "goal": row["goal"] * 9} for row in task.rows.read())
        (result,) = evaluate([replace(task, rows=Given(long))], RuntimeScorer(model), Options())
        assert result.num_cut == 2
        context = f"Question: {long[0]['goal']}\nAnswer:"
        ids = model.tokenizer.encode(f"{context} Twist its lid.")[-65:]
        ((expected, _),) = model.score_tokens([(ids, len(" Twist its lid."))])
        assert result.records[0]["log_probabilities"][0] == pytest.approx(expected, abs=2e-3)


def test_written_answers_are_kept_and_judged(model: Model) -> None:
    task = PromptTask(
        "writing",
        1.0,
        Given(({"text": "abc"}, {"text": "xyz"})),  # type: ignore[arg-type]
        lambda row: Prompt(row["text"], ("\n",), 5, row["text"]),
        lambda written, answer: answer == "abc",
        "",
        0,
    )
    (result,) = evaluate([task], RuntimeScorer(model), Options())
    expected = model.generate("abc", max_tokens=5, temperature=0, stop=("\n",)).text
    assert [record["exact_match"] for record in result.records] == [1.0, 0.0]
    assert result.records[0]["written"] == expected
    (again,) = evaluate([task], RuntimeScorer(model), Options())
    assert again.num_scored_before == 2


def _result(name: str, value: float, samples: int) -> TaskResult:
    task = TASKS[name]
    metrics = {task.headline: Value(value, None)}
    return TaskResult(name, 1.0, 0, samples, 0, metrics, task.headline, "", 0.0, 0, 0, [])


def test_means_of_groups() -> None:
    seven = [_result(name, number / 10, 5) for number, name in enumerate(GROUPS["phonelm7"].members)]
    assert group_means(seven) == {"phonelm7": pytest.approx(0.3)}
    assert group_means(seven[:-1]) == {}
    subjects = [_result(name, 0.0, 10) for name in GROUPS["mmlu"].members[1:]]
    subjects.append(_result(GROUPS["mmlu"].members[0], 1.0, 100))
    assert group_means(subjects)["mmlu"] == pytest.approx(100 / 660)


@pytest.mark.parametrize("options", [{"shots": -1}, {"shots": 101}, {"limit": 0}])
def test_numbers_out_of_range_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="give"):
        Options(**options)


def test_progress_counts_every_sample(model: Model) -> None:
    class Bars(Progress):
        done = 0.0

        def bar(self, label: str, total: float) -> Any:  # type: ignore[override]
            import contextlib

            assert total == 12
            return contextlib.nullcontext(lambda count: setattr(self, "done", self.done + count))

    bars = Bars()
    evaluate([_task("piqa", 12)], RuntimeScorer(model), Options(), bars)
    assert bars.done == 12
