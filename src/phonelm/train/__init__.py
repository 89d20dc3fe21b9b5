"""The torch model, and one training loop for every stage."""

from __future__ import annotations

from pathlib import Path

from phonelm.arch import DecoderConfig
from phonelm.progress import Progress
from phonelm.train.config import TrainConfig, TrainResult

__all__ = ["TrainConfig", "TrainResult", "train"]


def train(
    config: TrainConfig,
    beginning: DecoderConfig | Path,
    data_folder: Path | str,
    out_folder: Path | str,
    *,
    init_from: Path | str | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a model on prepared data into a Hugging Face folder; see `phonelm.train.loop.train`.

    Importing this room does not import torch; calling this does.
    """
    from phonelm.train.loop import train as run

    start = None if init_from is None else Path(init_from)
    data, out = Path(data_folder), Path(out_folder)
    return run(config, beginning, data, out, init_from=start, progress=progress or Progress())
