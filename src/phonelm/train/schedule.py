"""The learning rate by step: warm-up, stable, decay."""

from __future__ import annotations

import math

from phonelm.train.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """Learning rate of the step with this index (from 0).

    Linear from `learning_rate / warmup_steps` in the warm-up; constant; down to
    `learning_rate * final_learning_rate` at the last step, linearly (WSD, arXiv 2404.06395) or as half a
    cosine (arXiv 1608.03983).
    """
    factor = 1.0
    if step < config.warmup_steps:
        factor = (step + 1) / config.warmup_steps
    first_decayed = config.steps - config.decay_steps
    if config.decay_steps and step >= first_decayed:
        done = (step - first_decayed + 1) / config.decay_steps
        fallen = done if config.decay_shape == "linear" else (1.0 - math.cos(math.pi * done)) / 2.0
        factor = 1.0 - fallen * (1.0 - config.final_learning_rate)
    return config.learning_rate * factor
