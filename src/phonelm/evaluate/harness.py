"""lm-evaluation-harness with this runtime as a model.

`python -m phonelm.evaluate.harness` takes the arguments of `lm_eval`, which finds models of other packages
only when they are imported first, and knows `--model phonelm --model_args path=...`.
"""

# lm_eval carries few types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from phonelm.evaluate.scorers import RuntimeScorer
from phonelm.evaluate.sets import Row

_REQUESTS_AT_ONCE = 256


@register_model("phonelm")
class RuntimeLM(LM):  # type: ignore[misc]
    """A model in the runtime. `path`: what `phonelm.load` takes; `threads`, `context`, `kv_type` as there."""

    def __init__(
        self,
        path: str,
        threads: int | None = None,
        context: int | None = None,
        kv_type: str = "f16",
        **_given: Any,
    ) -> None:
        from phonelm import load

        super().__init__()
        self._model = load(path, num_threads=threads, context_length=context, kv_type=kv_type)
        self._scorer = RuntimeScorer(self._model)

    @property
    def tokenizer_name(self) -> str:
        """Names the caches of requests."""
        return self._model.path.name

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """(log-probability, whether greedy) of (context, continuation) pairs."""
        from tqdm import tqdm

        results = []
        bar = tqdm(total=len(requests), disable=disable_tqdm, desc="scoring")
        for first in range(0, len(requests), _REQUESTS_AT_ONCE):
            batch = requests[first : first + _REQUESTS_AT_ONCE]
            for score in self._scorer.score([request.args for request in batch]):
                results.append((score.log_probability, score.greedy))
            bar.update(len(batch))
        return results

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Log-probability of whole texts, in windows that do not overlap."""
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        totals = []
        for request in requests:
            ids = self._model.tokenizer.encode(request.args[0])
            start = self._model.tokenizer.bos_id if self._model.tokenizer.bos_id >= 0 else None
            windows = [
                make_disjoint_window(window)
                for window in get_rolling_token_windows(
                    ids,
                    self._model.tokenizer.eos_id if start is None else start,
                    self._model.context_length,
                    1,
                )
            ]
            scores = self._model.score_tokens([([*before, *after], len(after)) for before, after in windows])
            totals.append(sum(total for total, _ in scores))
        return totals

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations up to a stop. Raises `ValueError` for sampling, which tasks seldom ask for."""
        answers = []
        for request in requests:
            text, options = request.args
            if options.get("do_sample") and options.get("temperature", 0) > 0:
                raise ValueError("this model writes greedily; set do_sample to false")
            stops = options.get("until") or []
            stops = [stops] if isinstance(stops, str) else stops
            answers += self._scorer.write([text], stops, int(options.get("max_gen_toks", 256)))
        return answers


def task_on_rows(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    """A task of lm-evaluation-harness on given rows, where it would fetch its own."""
    from datasets import Dataset
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    definition = load_yaml(TaskManager().task_index[name].yaml_path, resolve_func=True)
    made = Dataset.from_list([_AS_THERE.get(name, dict)(row) for row in rows])
    splits = dict.fromkeys(("train", "dev", "validation", "test"), made)
    return {**definition, "custom_dataset": lambda **_metadata: splits}


def _boolq(row: Row) -> Row:
    return {"question": row["question"], "passage": row["passage"], "label": int(bool(row["answer"]))}


def _arc(row: Row) -> Row:
    letters = [chr(ord("A") + index) for index in range(len(row["choices"]))]
    return {
        "question": row["query"].removeprefix("Question: ").removesuffix("\nAnswer:"),
        "choices": {"text": row["choices"], "label": letters},
        "answerKey": letters[row["gold"]],
    }


_AS_THERE: dict[str, Callable[[Row], Row]] = {"boolq": _boolq, "arc_easy": _arc, "arc_challenge": _arc}
"""Rows whose fields are others than in the harness's sets."""


def run_harness(model: LM | str, tasks: Sequence[str | dict[str, Any]], **options: Any) -> dict[str, Any]:
    """Score tasks of lm-evaluation-harness, by name or made by `task_on_rows`, and return its results.

    `options` as of its `simple_evaluate`. Raises `ValueError` for a task that it does not know.
    """
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager()
    names = [task for task in tasks if isinstance(task, str)]
    if unknown := [task for task in names if task not in manager.all_tasks]:
        raise ValueError(f"lm-evaluation-harness has no task {unknown[0]!r}; lm_eval ls tasks lists them")
    results: dict[str, Any] = simple_evaluate(model=model, tasks=list(tasks), task_manager=manager, **options)
    return results


if __name__ == "__main__":
    from lm_eval.__main__ import cli_evaluate

    # The class above is registered under the name of this module when it is imported, too.
    cli_evaluate()
