"""A stage of training in a build: from the data and the stage before it to a Hugging Face folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from phonelm.pipeline.stage import Context, Outcome, Stage
from phonelm.pipeline.training import StageConfig
from phonelm.preconditions import TRAINING, require_packages
from phonelm.search import Design
from phonelm.train.config import TrainResult


def training_stage(before: StageConfig | None, stage: StageConfig) -> Stage:
    """The stage that goes on from the one before it."""
    return Stage(
        stage.name,
        ("search", "data", *([before.name] if before else [])),
        (f"{stage.name}/model.safetensors",),
        lambda _recipe: _settings(stage),
        lambda context: _train(context, stage, before),
        lambda _recipe: _conversations(stage),
        lambda _recipe: _check(stage),
    )


def _settings(stage: StageConfig) -> Any:
    settings = stage.settings.model_dump(mode="json")
    return settings if stage.chats is None else [settings, stage.chats.model_dump(mode="json")]


def _conversations(stage: StageConfig) -> Any:
    """The files of conversations as they are, so that changed ones are read anew."""
    from phonelm.data.sources import source_identity

    return [source_identity(source) for source in stage.chats.sources] if stage.chats else None


def _check(stage: StageConfig) -> None:
    from phonelm.data.sources import require_sources

    require_packages(*TRAINING)
    if stage.chats:
        require_sources(stage.chats.sources)


def _train(context: Context, stage: StageConfig, before: StageConfig | None) -> Outcome:
    earlier = context.path(before.name) if before else None
    result = _pretrain(context, stage, earlier) if stage.chats is None else _instruct(context, stage, earlier)
    return Outcome(
        f"{result.tokens:,} tokens, {result.bits_per_byte:.3f} bits per byte held out, "
        f"{result.tokens_per_s:,.0f} tokens/s",
        # The weights follow from the inputs; their bytes would differ after a repeat on another machine.
        [_settings(stage), result.steps, result.bits_per_byte],
    )


def _pretrain(context: Context, stage: StageConfig, earlier: Path | None) -> TrainResult:
    """Weights, optimizer and place in the data are those of the stage before."""
    from phonelm.train import train

    decoder = Design.load(context.path("design.json")).chosen.config
    data, folder = context.path("data"), context.path(stage.name)
    return train(stage.settings, decoder, data, folder, init_from=earlier, progress=context.progress)


def _instruct(context: Context, stage: StageConfig, earlier: Path | None) -> TrainResult:
    """The weights are those of the stage before; what is learnt is another thing, so the optimizer is new."""
    from phonelm.train import train
    from phonelm.train.prepare_conversations import prepare_conversations

    assert earlier is not None, "the first stage is a pretrain"
    assert stage.chats is not None, "of the kind instruct"
    folder = context.path(stage.name)
    prepare_conversations(stage.chats, earlier, folder / "data", context.progress)
    return train(stage.settings, earlier, folder / "data", folder, progress=context.progress)
