"""What a quantization costs: two models' next-token distributions on the same text, token by token."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phonelm._native import CHUNK_TOKENS
from phonelm.engine import Model
from phonelm.evaluate.perplexity import Perplexity, mean_and_error
from phonelm.evaluate.windows import Window
from phonelm.progress import Progress
from phonelm.words import counted

_MOST_LOGITS = 1 << 24
"""Logits of one model at a time: 64 MiB."""
_LEAST_ROWS = 32
"""With fewer rows a pass reads the weights for too little."""


@dataclass(frozen=True)
class RowDifferences:
    """Two models' distributions at each of some positions, arrays [positions].

    `kl` is KL(reference || model), `same_top` whether what the reference finds likeliest the model does too,
    `reference_nats` and `nats` what the text's own token costs each; all but `same_top` in nats.
    """

    kl: NDArray[np.float64]
    same_top: NDArray[np.bool_]
    reference_nats: NDArray[np.float64]
    nats: NDArray[np.float64]

    @staticmethod
    def of(rows: Sequence[tuple[float, bool, float, float]]) -> RowDifferences:
        """From what `_native.Model.compare_rows` gives."""
        kl, same_top, reference_nats, nats = np.array(rows, np.float64).reshape(-1, 4).T
        return RowDifferences(kl, same_top.astype(bool), reference_nats, nats)


@dataclass(frozen=True)
class Comparison:
    """How a model's next-token distributions differ from a reference's over a text's scored tokens.

    Divergences are KL(reference || model) in nats, `top1_agreement` the share of tokens at which both find
    the same one likeliest, `probability_difference` the mean of |p_model - p_reference| of the text's own
    token, `perplexity_ratio` the model's perplexity over the reference's. Errors are standard errors with
    windows as clusters, None for a single window; that of the ratio knows that both scored the same tokens.
    """

    reference: Perplexity
    model: Perplexity
    kl_mean: float
    kl_error: float | None
    kl_median: float
    kl_p99: float
    kl_max: float
    top1_agreement: float
    probability_difference: float
    perplexity_ratio: float
    perplexity_ratio_error: float | None


def compare(
    reference: Model, model: Model, windows: Sequence[Window], progress: Progress | None = None
) -> Comparison:
    """Compare a model with its reference on windows of `text_windows`, some rows of logits at a time.

    Raises `ValueError` for models of different vocabularies, a window longer than a model's context, and
    logits that are not finite.
    """
    check_vocabularies(reference, model)
    parts: list[RowDifferences] = []
    num_tokens = sum(len(window.tokens) for window in windows)
    label = f"comparing {model.path.name} with {reference.path.name}"
    with (progress or Progress()).bar(label, num_tokens) as advance:
        for window in windows:
            parts.append(_compare_window(reference, model, window))
            advance(len(window.tokens))
    return _summary(windows, parts)


def check_vocabularies(reference: Model, model: Model) -> None:
    """Raise `ValueError` unless both models have the same tokens and as many logits."""
    sizes = [one.config.vocab_size for one in (reference, model)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{model.path.name} has a vocabulary of {counted(sizes[1], 'token')}, {reference.path.name} of "
            f"{sizes[0]:,}; only models of one vocabulary can be compared"
        )
    for token in range(sizes[0]):
        texts = [_token_text(one, token) for one in (reference, model)]
        if texts[0] != texts[1]:
            raise ValueError(
                f"{reference.path.name} and {model.path.name} have different vocabularies (token {token} is "
                f"{texts[0]!r} and {texts[1]!r}); only models of one vocabulary can be compared"
            )


def _token_text(model: Model, token: int) -> bytes:
    return (
        model.tokenizer.token_bytes(token, with_special=True) if token < model.tokenizer.vocab_size else b""
    )


def _compare_window(reference: Model, model: Model, window: Window) -> RowDifferences:
    evaluated, targets = window.tokens[:-1], window.tokens[1:]
    first_scored = len(evaluated) - window.num_scored
    num_rows = max(min(_MOST_LOGITS // model.config.vocab_size, CHUNK_TOKENS), _LEAST_ROWS)
    rows: list[tuple[float, bool, float, float]] = []
    with (
        reference.new_session(context_length=len(evaluated)) as expected,
        model.new_session(context_length=len(evaluated)) as session,
    ):
        for one in (expected, session):
            one.evaluate(evaluated[:first_scored])
        for at in range(first_scored, len(evaluated), num_rows):
            chunk = evaluated[at : at + num_rows]
            rows += model.native.compare_rows(
                expected.native.prefill_logits(chunk),
                session.native.prefill_logits(chunk),
                targets[at : at + num_rows],
            )
    return RowDifferences.of(rows)


def _summary(windows: Sequence[Window], parts: Sequence[RowDifferences]) -> Comparison:
    """From the differences of each window's tokens."""
    counts = [window.num_scored for window in windows]
    kl_mean, kl_error = mean_and_error([float(part.kl.sum()) for part in parts], counts)
    log_ratio, log_error = mean_and_error(
        [float((part.nats - part.reference_nats).sum()) for part in parts], counts
    )
    ratio = math.exp(log_ratio)
    kl = np.concatenate([part.kl for part in parts])
    differences = np.concatenate([np.exp(-part.nats) - np.exp(-part.reference_nats) for part in parts])
    return Comparison(
        reference=Perplexity.of(windows, [float(part.reference_nats.sum()) for part in parts]),
        model=Perplexity.of(windows, [float(part.nats.sum()) for part in parts]),
        kl_mean=kl_mean,
        kl_error=kl_error,
        kl_median=float(np.median(kl)),
        kl_p99=float(np.percentile(kl, 99)),
        kl_max=float(kl.max()),
        top1_agreement=float(np.concatenate([part.same_top for part in parts]).mean()),
        probability_difference=float(np.abs(differences).mean()),
        perplexity_ratio=ratio,
        perplexity_ratio_error=None if log_error is None else ratio * log_error,
    )
