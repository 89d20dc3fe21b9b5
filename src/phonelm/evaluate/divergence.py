"""Kullback-Leibler divergence between the next-token distributions of two models on the same text."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def log_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Log-probabilities in nats over the last axis, in float64."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    normalized: NDArray[np.float64] = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normalized


def kl_divergence(reference_logits: NDArray[np.floating], logits: NDArray[np.floating]) -> float:
    """Mean over positions of KL(reference || model), in nats; both float [positions, vocab].

    Raises `ValueError` for shapes that differ, no positions, and logits that are not finite.
    """
    if reference_logits.shape != logits.shape or logits.ndim != 2 or logits.size == 0:
        raise ValueError(
            f"logits of shapes {reference_logits.shape} and {logits.shape} cannot be compared; "
            "both must be [positions, vocab] with at least one position"
        )
    if not (np.isfinite(reference_logits).all() and np.isfinite(logits).all()):
        raise ValueError("logits hold numbers that are not finite; the model or its file is broken")
    total = 0.0
    # A few rows at a time: a float64 copy of long logits would take gigabytes.
    for start in range(0, len(logits), 64):
        reference = log_softmax(reference_logits[start : start + 64])
        difference = reference - log_softmax(logits[start : start + 64])
        total += float((np.exp(reference) * difference).sum())
    return max(total / len(logits), 0.0)
