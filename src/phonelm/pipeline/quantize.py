"""The quantize stage: the checkpoint as one GGUF file, and what that cost in quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from phonelm.evaluate import kl_divergence
from phonelm.files import write_json
from phonelm.pipeline.stage import Context, Outcome
from phonelm.search import Design

Array = npt.NDArray[Any]


def quantize_stage(context: Context) -> Outcome:
    """Write `model.gguf` and `quantize.json`."""
    from phonelm.formats import convert_checkpoint

    chosen = Design.load(context.path("design.json")).chosen
    summary = convert_checkpoint(
        checkpoint(context),
        context.path("model.gguf"),
        block_type=chosen.block_type,
        embedding_type=chosen.head_type,
        progress=context.progress,
    )
    windows = held_out_windows(context)
    comparison = compare(context, windows)
    write_json(context.path("quantize.json"), {**summary, **comparison})
    return Outcome(
        f"{summary['file_bytes'] / 2**20:.2f} MiB, {summary['bits_per_weight']:.2f} bits per weight, "
        f"KL divergence {comparison['kl_divergence']:.4f} to float32 on {comparison['kl_tokens']:,} tokens",
        [summary["file_bytes"], comparison["kl_divergence"]],
    )


def checkpoint(context: Context) -> Path:
    """The Hugging Face folder that the last stage of training wrote."""
    return context.path(context.recipe.last_stage.name)


def held_out_windows(context: Context) -> list[list[int]]:
    """The first held-out tokens, at least `kl_tokens` of them, in windows of the length trained on."""
    from phonelm.data import DataManifest

    recipe, folder = context.recipe, context.path("data")
    length = recipe.last_stage.sequence_length
    windows = DataManifest.load(folder).windows(folder, "valid", length)
    count = min(len(windows), -(-recipe.quantize.kl_tokens // length))
    rows: list[list[int]] = windows.rows(np.arange(count))[:, :-1].tolist()
    return rows


def compare(context: Context, windows: list[list[int]]) -> dict[str, Any]:
    """Divergence of the runtime with the quantized file from torch with the float32 weights."""
    from phonelm.engine import load
    from phonelm.evaluate.reference import checkpoint_logits

    reference = checkpoint_logits(checkpoint(context), windows)
    with load(context.path("model.gguf")) as model:
        ours = np.concatenate([model.logits(window) for window in windows])
    return {
        "kl_divergence": kl_divergence(reference, ours),
        "kl_tokens": len(reference),
        "same_top_token": float(np.mean(reference.argmax(axis=1) == ours.argmax(axis=1))),
    }
