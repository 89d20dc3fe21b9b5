"""The run stage: the runtime writes from the finished file, and its speed beside the predicted one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phonelm.files import provenance, temporary_folder, write_json
from phonelm.pipeline.stage import Context, Outcome
from phonelm.profile import DeviceProfile
from phonelm.search import Candidate, Design, predict

if TYPE_CHECKING:
    from phonelm.bench import BenchResult


def run_stage(context: Context) -> Outcome:
    """Write `run.json`: texts, and speeds of the model and of the fastest conventional shape."""
    recipe = context.recipe
    design = Design.load(context.path("design.json"))
    profile = DeviceProfile.load(context.path("device.json"))
    chosen = predict(design.chosen.config, profile, recipe.search.request)
    speeds = {"chosen": _speeds(context, chosen, context.path("model.gguf"))}
    if chosen.config.layers[0].ffn.activation in ("relu", "relu2"):
        speeds["chosen"]["without_dead_neurons"] = _sparse_decode(context, context.path("model.gguf"))
    if conventional := design.best_conventional:
        other = predict(conventional.candidate.config, profile, recipe.search.request)
        speeds["conventional"] = _random_speeds(context, other)
    texts = _texts(context)
    document = {
        "samples": texts,
        "speeds": speeds,
        "made": provenance(config=recipe.run.model_dump(mode="json"), seed=recipe.seed),
    }
    write_json(context.path("run.json"), document)
    for label, speed in speeds.items():
        context.progress.line(f"  {label:<13} {_words(speed)}")
    return Outcome(_words(speeds["chosen"]), [texts, speeds])


def _words(speed: dict[str, Any]) -> str:
    words = ", ".join(
        f"{phase} {speed[phase]['measured_tok_s']:,.0f} tokens/s "
        f"(predicted {speed[phase]['predicted_tok_s']:,.0f}, {speed[phase]['error']:+.1%})"
        for phase in ("decode", "prefill")
    )
    sparse = speed.get("without_dead_neurons")
    if not sparse:
        return words
    dead = f"the {sparse['dead_fraction']:.0%} dead neurons"
    return f"{words}; decode without {dead} {sparse['measured_tok_s']:,.0f} tokens/s"


def _sparse_decode(context: Context, path: Path) -> dict[str, float] | None:
    """Decode that skips dead neurons, as the runtime does by default; None where it can skip none."""
    rounds = _rounds(context, path, sparse_ffn=True)
    first = next(rounds)
    if not first.live_fractions:
        return None
    best = _fastest([first, *rounds])
    live = sum(best.live_fractions) / len(best.live_fractions)
    return {"measured_tok_s": best.decode_tok_s.median, "dead_fraction": 1 - live}


def _rounds(context: Context, path: Path, sparse_ffn: bool) -> Iterator[BenchResult]:
    """Measure a model in one process after the other."""
    from phonelm.bench import measure_file

    search, run = context.recipe.search, context.recipe.run
    for _ in range(run.rounds):
        yield measure_file(
            path, search.prompt_tokens, search.output_tokens, run.repeats, sparse_ffn=sparse_ffn
        )


def _fastest(results: Iterable[BenchResult]) -> BenchResult:
    return max(results, key=lambda measured: measured.decode_tok_s.median)


def _random_speeds(context: Context, candidate: Candidate) -> dict[str, Any]:
    """Speeds of an untrained shape: weights are random, times are the same."""
    from phonelm.formats import write_random_gguf

    with temporary_folder() as folder:
        path = Path(folder) / "conventional.gguf"
        write_random_gguf(path, candidate.config, candidate.block_type, candidate.head_type)
        return _speeds(context, candidate, path)


def _speeds(context: Context, candidate: Candidate, path: Path) -> dict[str, Any]:
    """Measured and predicted, in a separate process; `error` is predicted / measured - 1.

    All neurons are read, dead ones too: how many are is known only after training.
    """
    result = _fastest(_rounds(context, path, sparse_ffn=False))
    pairs = {
        "decode": (candidate.decode_tok_s, result.decode_tok_s),
        "prefill": (candidate.prefill_tok_s, result.prefill_tok_s),
    }
    document: dict[str, Any] = {
        phase: {
            "predicted_tok_s": predicted,
            "measured_tok_s": measured.median,
            "measured_low": measured.low,
            "measured_high": measured.high,
            "error": predicted / measured.median - 1,
        }
        for phase, (predicted, measured) in pairs.items()
    }
    return {
        **document,
        "file_bytes": result.file_bytes,
        "peak_rss_bytes": result.peak_rss_bytes,
        "predicted_memory_mb": candidate.memory_mb,
        "isa": result.isa,
        "prefill_threads": result.prefill_threads,
        "decode_threads": result.decode_threads,
    }


def _texts(context: Context) -> list[dict[str, str]]:
    from phonelm.engine import load

    run = context.recipe.run
    with load(context.path("model.gguf")) as model:
        return [
            {
                "prompt": prompt,
                "text": "".join(
                    model.generate(
                        prompt,
                        max_tokens=run.max_tokens,
                        temperature=run.temperature,
                        top_p=run.top_p,
                        seed=context.recipe.seed,
                    )
                ),
            }
            for prompt in run.prompts
        ]
