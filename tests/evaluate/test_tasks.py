"""Prompts against lm-evaluation-harness's own on the same rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evaluation_rows import ROWS
from phonelm.evaluate.sets import ArrowRows
from phonelm.evaluate.tasks import GROUPS, TASKS, ChoiceTask, tasks_of
from phonelm.evaluate.tasks.mathematics import plain_answer, same_answer, same_number


@pytest.mark.parametrize("name", sorted(ROWS))
def test_prompts_choices_and_gold_are_the_harnesss(name: str) -> None:
    pytest.importorskip("lm_eval")
    from lm_eval.api.task import ConfigurableTask

    from phonelm.evaluate.harness import task_on_rows

    config = {key: value for key, value in task_on_rows(name, ROWS[name]).items() if key != "tag"}
    theirs = ConfigurableTask(config=config)
    theirs.build_all_requests(rank=0, world_size=1)
    task = TASKS[name]
    assert isinstance(task, ChoiceTask)
    (question,) = task.questions(ROWS[name], 0, seed=0)
    assert [instance.args for instance in theirs.instances] == list(question.requests)
    # Its own judgement, where each of the choices is the likeliest in turn.
    for best in range(len(question.requests)):
        results = [(-1.0 if index == best else -9.0, False) for index in range(len(question.requests))]
        made = theirs.process_results(theirs.instances[0].doc, results)
        if "acc" in task.metrics:
            assert made["acc"] == float(best in question.gold)
    assert str(task.version) == str((config.get("metadata") or {}).get("version", task.version))


def _with_rows(name: str, num_rows: int) -> tuple[ChoiceTask, list[dict[str, object]]]:
    task = TASKS[name]
    assert isinstance(task, ChoiceTask)
    rows = [{**ROWS[name][0], "goal": f"Goal {number}."} for number in range(num_rows)]

    class Given(ArrowRows):
        def read(self) -> list[dict[str, object]]:
            return rows

    return replace(task, rows=Given("")), rows


def test_a_row_is_never_its_own_example() -> None:
    task, rows = _with_rows("piqa", 6)
    for row, question in zip(rows, task.questions(rows, 5, seed=3), strict=True):
        context = question.requests[0][0]
        assert context.count("Question:") == 6
        assert context.count(str(row["goal"])) == 1
        assert context.endswith(f"Question: {row['goal']}\nAnswer:")


def test_the_same_seed_draws_the_same_examples() -> None:
    task, rows = _with_rows("piqa", 30)
    assert task.questions(rows, 3, seed=1) == task.questions(rows, 3, seed=1)
    assert task.questions(rows, 3, seed=1) != task.questions(rows, 3, seed=2)


def test_more_examples_than_rows_are_refused() -> None:
    task, rows = _with_rows("piqa", 4)
    with pytest.raises(ValueError, match="piqa has 4 examples; give --shots 3 or fewer"):
        task.questions(rows, 4, seed=0)


def test_names_and_groups() -> None:
    assert [task.name for task in tasks_of("phonelm7")] == list(GROUPS["phonelm7"].members)
    assert len(tasks_of("survey")) == 7 + 2 + 57 + 1 + 7
    assert [task.name for task in tasks_of("piqa, sciq,piqa")] == ["piqa", "sciq"]


@pytest.mark.parametrize(
    ("names", "message"),
    [("helaswag", "did you mean hellaswag"), ("zzzz", "known are phonelm7"), (" , ", "no task is named")],
)
def test_a_task_that_is_not_there_names_the_nearest(names: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tasks_of(names)


@pytest.mark.parametrize(
    ("written", "answer", "is_same"),
    [
        ("3 + 4 = 7. So the answer is 7.", "7", True),
        ("She has $1,200.50", "1200.5", True),
        ("The answer is -5", "-5", True),
        ("12 apples or 13", "12", False),
        ("no number", "0", False),
    ],
)
def test_the_last_number(written: str, answer: str, is_same: bool) -> None:
    assert same_number(written, answer) is is_same


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        ("$\\frac12$", "\\frac{1}{2}"),
        ("x = 3\\text{ cm}", "3"),
        ("1,000,000", "1000000"),
        ("20 degrees", "20"),
        ("\\boxed{\\sqrt2}", "\\sqrt{2}"),
        ("\\left(3, 4\\right)", "\\left(3,4\\right)"),
        ("a square", ""),
    ],
)
def test_plain_answers(answer: str, plain: str) -> None:
    assert plain_answer(answer) == plain


def test_a_stated_answer() -> None:
    assert same_answer(
        "so\nFinal Answer: The final answer is $\\frac{1}{2}$. I hope it is correct.", "\\frac12"
    )
    assert same_answer("Final Answer: The final answer is $16$", "16")
    assert not same_answer("The answer is 16", "16")
