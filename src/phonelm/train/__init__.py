"""The torch model, and one training loop for every stage."""

from __future__ import annotations

from pathlib import Path

from phonelm.arch import DecoderConfig
from phonelm.progress import Progress
from phonelm.train.config import TrainConfig, TrainResult

__all__ = ["TrainConfig", "TrainResult", "train"]


def train(
    config: TrainConfig,
    decoder: DecoderConfig,
    data_folder: Path | str,
    out_folder: Path | str,
    *,
    init_from: Path | str | None = None,
    progress: Progress | None = None,
) -> TrainResult:
    """Train a decoder on prepared data into a Hugging Face folder; see `phonelm.train.loop.train`.

    Importing this room does not import torch; calling this does.
    """
    from phonelm.train.loop import train as run

    start = None if init_from is None else Path(init_from)
    return run(
        config, decoder, Path(data_folder), Path(out_folder), init_from=start, progress=progress or Progress()
    )
