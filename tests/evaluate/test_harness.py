"""lm-evaluation-harness with this runtime as its model."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from evaluation_rows import ROWS
from phonelm.engine import load

pytest.importorskip("lm_eval")
TASKS = ("piqa", "winogrande", "arc_easy", "boolq")


def _request(*arguments: Any) -> Any:
    return SimpleNamespace(args=arguments)


@pytest.fixture(scope="module")
def lm(tiny_long_gguf: Path) -> Any:
    from phonelm.evaluate.harness import RuntimeLM

    return RuntimeLM(str(tiny_long_gguf), context=256)


@pytest.mark.parametrize("name", TASKS)
def test_the_harness_scores_as_we_do(name: str, lm: Any, tiny_long_gguf: Path) -> None:
    from phonelm.evaluate.harness import run_harness, task_on_rows
    from phonelm.evaluate.tasks import tasks_of

    found = run_harness(lm, [task_on_rows(name, ROWS[name])], bootstrap_iters=0)
    (task,) = tasks_of(name)
    (question,) = task.questions(ROWS[name], 0, seed=0)
    with load(tiny_long_gguf) as model:
        expected = [total for total, _ in model.loglikelihoods(question.requests)]
    values = [float(one[0]) for one in found["samples"][name][0]["filtered_resps"]]
    assert values == pytest.approx(expected, abs=2e-2)
    assert found["results"][name]["acc,none"] in (0.0, 1.0)


def test_whole_texts_are_scored_in_windows(lm: Any, tiny_long_gguf: Path) -> None:
    text = "A text that is longer than the context of the model. " * 12
    (total,) = lm.loglikelihood_rolling([_request(text)], disable_tqdm=True)
    with load(tiny_long_gguf) as model:
        ids = model.tokenizer.encode(text)
        start = model.tokenizer.bos_id if model.tokenizer.bos_id >= 0 else model.tokenizer.eos_id
        expected, before = 0.0, start
        for first in range(0, len(ids), 256):
            window = ids[first : first + 256]
            ((part, _),) = model.score_tokens([([before, *window], len(window))])
            expected, before = expected + part, window[-1]
    # The last window of the harness reaches back, so that it is full.
    assert total == pytest.approx(expected, rel=0.02)


def test_text_is_written_up_to_a_stop(lm: Any, tiny_long_gguf: Path) -> None:
    options = {"until": "a", "max_gen_toks": 12, "do_sample": False}
    (written,) = lm.generate_until([_request("Once", options)], disable_tqdm=True)
    with load(tiny_long_gguf) as model:
        assert written == model.generate("Once", max_tokens=12, temperature=0, stop=("a",)).text
    with pytest.raises(ValueError, match="writes greedily"):
        lm.generate_until([_request("Once", {**options, "do_sample": True, "temperature": 1.0})])


def test_a_task_that_it_has_not(lm: Any) -> None:
    from phonelm.evaluate.harness import run_harness

    with pytest.raises(ValueError, match="has no task 'no_such_task'"):
        run_harness(lm, ["no_such_task"])
