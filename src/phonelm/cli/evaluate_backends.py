"""What computes the scores of `phonelm evaluate`, and which of its options each can follow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from phonelm.cli.options import load_model
from phonelm.cli.streams import print_json

if TYPE_CHECKING:
    from phonelm.evaluate.run import Options
    from phonelm.evaluate.scorers import Scorer


class Backend(str, Enum):
    """What computes the scores."""

    PHONELM = "phonelm"
    TORCH = "torch"
    LM_EVAL = "lm-eval"


_REFUSED = {
    "an endpoint": ("threads", "context", "kv"),
    "--backend torch": ("kv",),
    "--backend lm-eval": ("samples", "icl", "checkpoints", "fresh"),
}
"""Options that cannot be followed, by what scores."""


@dataclass(frozen=True)
class Opener:
    """Opens models for scoring. `threads`, `context`: None where not given; `kv`: type of the cache."""

    backend: Backend
    threads: int | None
    context: int | None
    kv: str

    def check(self, model: str, given: Mapping[str, Any]) -> None:
        """Raise `BadParameter` for a given option (a true value) that what scores the model cannot follow."""
        scores = "an endpoint" if "://" in model else f"--backend {self.backend.value}"
        settings = {
            **given,
            "threads": self.threads,
            "context": self.context,
            "kv": self.kv if self.kv != "f16" else None,
        }
        for name in _REFUSED.get(scores, ()):
            if settings.get(name):
                raise typer.BadParameter(f"{scores} takes no --{name}; leave it out")
        if "://" in model and self.backend is not Backend.PHONELM:
            raise typer.BadParameter("an endpoint scores by itself; leave --backend out")

    def scorer(self, model: str) -> Scorer:
        """Open a model. Raises `ValueError` for one that the backend cannot read."""
        if "://" in model:
            from phonelm.evaluate.endpoint_scorer import EndpointScorer

            return EndpointScorer(model)
        if self.backend is Backend.TORCH:
            from phonelm.evaluate.torch_scorer import TorchScorer

            if not (Path(model) / "config.json").is_file():
                raise ValueError(
                    f"{model} is no Hugging Face folder (it has no config.json), which torch needs"
                )
            return TorchScorer(Path(model), self.threads, self.context)
        from phonelm.evaluate.scorers import RuntimeScorer

        return RuntimeScorer(load_model(model, self.threads, self.context, self.kv, None))

    def by_harness(self, model: str, tasks: str, options: Options) -> None:
        """Score tasks of lm-evaluation-harness and print its results."""
        from phonelm.preconditions import require_packages

        require_packages("lm_eval")
        from phonelm.evaluate.harness import RuntimeLM, run_harness

        names = [name.strip() for name in tasks.split(",")]
        results = run_harness(
            RuntimeLM(model, self.threads, self.context, self.kv),
            names,
            num_fewshot=options.shots,
            limit=options.limit,
            fewshot_random_seed=options.seed,
        )
        print_json(json.dumps({"results": results["results"], "versions": results["versions"]}))
