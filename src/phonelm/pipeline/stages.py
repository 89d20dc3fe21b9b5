"""The stages of a build, from the device to the report, as files in the run folder.

```
device.json → design.json;  data/ → a folder for each stage of training → model.gguf, quantize.json
→ run.json → report.html
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from phonelm.devices import kernels_fingerprint, machine_info
from phonelm.files import read_json
from phonelm.pipeline.quantize import quantize_stage
from phonelm.pipeline.recipe import Recipe
from phonelm.pipeline.run import run_stage
from phonelm.pipeline.stage import Context, Outcome, Stage
from phonelm.pipeline.train_stage import training_stage
from phonelm.preconditions import PICTURES, require_packages
from phonelm.profile import DeviceProfile, profile_device
from phonelm.search import search
from phonelm.search.quality import Predictor
from phonelm.words import counted


def _machine(_recipe: Recipe) -> list[str]:
    """Another machine or other kernels have other costs."""
    return [machine_info().fingerprint, kernels_fingerprint()]


def _profile(context: Context) -> Outcome:
    profile = profile_device(context.recipe.profile, progress=context.progress)
    profile.save(context.path("device.json"))
    memory = max(b.bytes_per_s for b in profile.bandwidth if b.buffer_bytes > 2**27)
    cache = max(b.bytes_per_s for b in profile.bandwidth if b.buffer_bytes <= 2**27)
    return Outcome(
        f"{profile.machine.model}, {profile.isa}, {counted(profile.num_threads, 'thread')}; reads "
        f"{cache / 1e9:.0f} GB/s from cache, {memory / 1e9:.0f} GB/s from memory",
        profile.model_dump(mode="json"),
    )


def _search(context: Context) -> Outcome:
    profile = DeviceProfile.load(context.path("device.json"))
    design = search(context.recipe.search, profile, context.progress)
    design.save(context.path("design.json"))
    shown = [("chosen", design.chosen), *((one.name, one.candidate) for one in design.conventional)]
    for label, candidate in shown:
        size = f"{candidate.num_parameters / 1e6:.2f}M parameters"
        speeds = f"{candidate.prefill_tok_s:,.0f} tokens/s prefill, {candidate.decode_tok_s:,.0f} decode"
        context.progress.line(f"  {label:<14} {candidate.name}: {size}; predicted {speeds}")
    return Outcome(
        f"{design.chosen.name}, chosen of {design.num_shapes:,} shapes",
        design.chosen.config.model_dump(mode="json"),
    )


def _data(context: Context) -> Outcome:
    from phonelm.data import prepare

    manifest = prepare(context.recipe.data, context.path("data"), context.progress)
    per_token = manifest.train.bytes / manifest.train.tokens
    return Outcome(
        f"{', '.join(context.recipe.data.sources)}: {manifest.train.tokens:,} tokens to train on, "
        f"{manifest.valid.tokens:,} held out, {per_token:.2f} bytes per token",
        [manifest.content, manifest.seed, manifest.vocab_size],
    )


def _report(context: Context) -> Outcome:
    from phonelm.report import write_report

    path = write_report(context.folder)
    return Outcome(str(path), None)


def _predictor(recipe: Recipe) -> Any:
    """The predictor as it is, where the recipe names one."""
    return recipe.search.predictor and read_json(recipe.search.predictor)


def _check_predictor(recipe: Recipe) -> None:
    if recipe.search.predictor:
        Predictor.load(recipe.search.predictor)


def _check_report(_recipe: Recipe) -> None:
    require_packages(*PICTURES)


def _check_sources(recipe: Recipe) -> None:
    from phonelm.data.sources import require_sources

    require_sources(recipe.data.sources)


def _part(name: str) -> Any:
    """The recipe's section `name` as the settings of a stage."""
    return lambda recipe: getattr(recipe, name).model_dump(mode="json")


def _corpus(recipe: Recipe) -> Any:
    """The source files as they are, so that changed text is read anew."""
    from phonelm.data.sources import source_identity

    return [source_identity(source) for source in recipe.data.sources]


_BEFORE_TRAINING: tuple[Stage, ...] = (
    Stage(
        "profile",
        (),
        ("device.json",),
        lambda recipe: recipe.profile.model_dump(mode="json"),
        _profile,
        _machine,
    ),
    Stage("search", ("profile",), ("design.json",), _part("search"), _search, _predictor, _check_predictor),
    Stage(
        "data", (), ("data/data.json", "data/tokenizer.json"), _part("data"), _data, _corpus, _check_sources
    ),
)


def _after_training(names: Sequence[str]) -> tuple[Stage, ...]:
    """What follows the stages of training with these names."""
    return (
        Stage(
            "quantize",
            ("search", "data", names[-1]),
            ("model.gguf", "quantize.json"),
            lambda recipe: [recipe.quantize.model_dump(), recipe.search.block_type, recipe.search.head_type],
            quantize_stage,
        ),
        Stage(
            "run",
            ("profile", "search", "quantize"),
            ("run.json",),
            lambda recipe: [
                recipe.run.model_dump(),
                recipe.search.prompt_tokens,
                recipe.search.output_tokens,
            ],
            run_stage,
        ),
        Stage(
            "report",
            ("profile", "search", "data", *names, "quantize", "run"),
            ("report.html",),
            lambda recipe: recipe.model_dump(mode="json"),
            _report,
            check=_check_report,
        ),
    )


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a recipe's build in their order, its stages of training among them."""
    pairs = zip((None, *recipe.train), recipe.train, strict=False)
    training = [training_stage(before, stage) for before, stage in pairs]
    return (*_BEFORE_TRAINING, *training, *_after_training([stage.name for stage in training]))
