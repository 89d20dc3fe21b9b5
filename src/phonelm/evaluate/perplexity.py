"""Perplexity and bits per byte of a text: how likely a model finds it, without making its logits at once."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from phonelm.engine import Model
from phonelm.evaluate.windows import Window
from phonelm.progress import Progress

_BATCH_TOKENS = 1024
"""Tokens that are scored in one call at least: short texts fill the passes, and Ctrl-C is seen after each."""


@dataclass(frozen=True)
class Perplexity:
    """What the scored tokens of a text cost a model, in nats each, and how sure that is.

    `nats_error` is the standard error of `nats_per_token` with the windows as clusters, whose tokens may
    depend on each other; None for a single window.
    """

    num_tokens: int
    num_bytes: int
    num_windows: int
    nats_per_token: float
    nats_error: float | None

    @property
    def perplexity(self) -> float:
        """The exponential of the mean cost in nats."""
        return math.exp(self.nats_per_token)

    @property
    def perplexity_error(self) -> float | None:
        """Its standard error, to first order."""
        return None if self.nats_error is None else self.perplexity * self.nats_error

    @property
    def bits_per_byte(self) -> float:
        """The cost of all scored tokens in bits, over the bytes of text that they stand for."""
        return self.nats_per_token * self.num_tokens / math.log(2) / max(self.num_bytes, 1)

    @staticmethod
    def of(windows: Sequence[Window], nats: Sequence[float]) -> Perplexity:
        """From the cost of each window's scored tokens. Raises `ValueError` where one is not finite."""
        if not np.isfinite(nats).all():
            raise ValueError("logits hold numbers that are not finite; the model or its file is broken")
        mean, error = mean_and_error(nats, [window.num_scored for window in windows])
        return Perplexity(
            num_tokens=sum(window.num_scored for window in windows),
            num_bytes=sum(window.num_bytes for window in windows),
            num_windows=len(windows),
            nats_per_token=mean,
            nats_error=error,
        )


def mean_and_error(sums: Sequence[float], counts: Sequence[int]) -> tuple[float, float | None]:
    """Mean of tokens' values from each window's sum and count, and its standard error; None for one window.

    The error is that of a ratio of sums over clusters (Cochran, Sampling Techniques, 1977, eq. 2.39, without
    the finite population): n/(n-1) * sum((sum_i - mean * count_i)^2) / (sum of counts)^2, its root.
    """
    total, mean = sum(counts), math.fsum(sums) / sum(counts)
    if len(sums) == 1:
        return mean, None
    squares = np.square(np.asarray(sums, np.float64) - mean * np.asarray(counts, np.float64)).sum()
    return mean, float(np.sqrt(squares * len(sums) / (len(sums) - 1))) / total


def measure_perplexity(
    model: Model, windows: Sequence[Window], progress: Progress | None = None
) -> tuple[Perplexity, float]:
    """Score the windows; returns what they cost and the seconds it took.

    Raises `ValueError` for a window longer than the model's context and logits that are not finite.
    """
    nats: list[float] = []
    started = time.perf_counter()
    num_tokens = sum(len(window.tokens) for window in windows)
    with (progress or Progress()).bar(f"scoring {model.path.name}", num_tokens) as advance:
        for batch in _batches(windows):
            scores = model.score_tokens([(window.tokens, window.num_scored) for window in batch])
            nats += [-log_probability for log_probability, _ in scores]
            advance(sum(len(window.tokens) for window in batch))
    return Perplexity.of(windows, nats), time.perf_counter() - started


def _batches(windows: Iterable[Window]) -> Iterator[list[Window]]:
    batch: list[Window] = []
    for window in windows:
        batch.append(window)
        if sum(len(one.tokens) for one in batch) >= _BATCH_TOKENS:
            yield batch
            batch = []
    if batch:
        yield batch
