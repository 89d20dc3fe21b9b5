"""Logits of a checkpoint in float32, computed by torch: what the runtime is compared with."""

# Parts of transformers carry no types.
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def checkpoint_logits(folder: Path | str, windows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Next-token logits [tokens of all windows, vocab] of a Hugging Face folder; each window on its own.

    Raises `OSError` or `ValueError` as transformers does for a folder that holds no model.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    import phonelm.hf  # noqa: F401  registers our own model type

    logging.disable_progress_bar()
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        parts = [model(torch.tensor([list(window)])).logits[0].float().numpy() for window in windows]
    return np.concatenate(parts)
