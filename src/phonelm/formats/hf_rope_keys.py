"""Ropes to the keys of Hugging Face's config.json, under the names that transformers 4 and 5 both read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from phonelm.arch import DecoderConfig, Rope, RopeScaling
from phonelm.formats.families.base import rotating_layer
from phonelm.formats.hf_rope import llama3_factors, longrope_magnitude, turns_per_token, yarn_growth

Floats = NDArray[np.float64]
_PUBLISHED_SPAN = 3.0
"""From `low_freq_factor` to `high_freq_factor`, 1 and 4 in all published models."""


def rope_keys(config: DecoderConfig) -> dict[str, Any]:
    """The keys of the rope of the layers without a window.

    Raises `ValueError` for factors of the frequencies that are not Llama 3's.
    """
    mixer = rotating_layer(config).mixer
    rope = mixer.rope or Rope()
    keys: dict[str, Any] = {"rope_theta": rope.theta}
    if rope.fraction != 1.0:
        keys["partial_rotary_factor"] = _fraction(rope.rotated_dims(mixer.head_dim), mixer.head_dim)
    if rope.scaling is not None:
        keys["rope_scaling"] = _scaling_keys(rope.scaling, rope.theta, config)
    return keys


def _fraction(dims: int, head_dim: int) -> float:
    """The share of a head that transformers rounds down to `dims`."""
    fraction = dims / head_dim
    return fraction if int(head_dim * fraction) == dims else math.nextafter(fraction, 1.0)


def _scaling_keys(scaling: RopeScaling, theta: float, config: DecoderConfig) -> dict[str, Any]:
    if scaling.kind == "linear":
        return {"rope_type": "linear", "factor": scaling.factor}
    if scaling.kind == "yarn":
        return _yarn_keys(scaling)
    if scaling.kind == "longrope":
        return _longrope_keys(scaling, config.context_length)
    assert scaling.factors is not None, "whoever reads a file reads its factors"
    return {"rope_type": "llama3", **_llama3_keys(scaling.factors, theta)}


def _yarn_keys(scaling: RopeScaling) -> dict[str, Any]:
    keys = {
        "rope_type": "yarn",
        "factor": scaling.factor,
        "original_max_position_embeddings": scaling.original_context,
        "beta_fast": scaling.beta_fast,
        "beta_slow": scaling.beta_slow,
    }
    if scaling.magnitude == 1.0:
        return keys
    return {**keys, "attention_factor": scaling.magnitude * yarn_growth(scaling.factor, 1.0)}


def _longrope_keys(scaling: RopeScaling, context: int) -> dict[str, Any]:
    """`type` and no more than needed: Phi-3's first readers take three keys only."""
    assert scaling.factors is not None
    assert scaling.long_factors is not None
    assert scaling.original_context is not None
    keys = {
        "type": "longrope",
        "short_factor": list(scaling.factors),
        "long_factor": list(scaling.long_factors),
    }
    implied = longrope_magnitude(context / scaling.original_context, scaling.original_context)
    if np.float32(implied) == np.float32(scaling.magnitude):
        return keys
    return {**keys, "attention_factor": scaling.magnitude}


def _llama3_keys(factors: Sequence[float], theta: float) -> dict[str, Any]:
    """Find the keys under which `llama3_factors` are these factors; `ValueError` where there are none.

    The original context is known but for its ratio to `low_freq_factor`, which is 1 as in the published
    models where that explains the factors.
    """
    turns = turns_per_token(theta, 2 * len(factors))
    slope, offset = _line(np.array(turns), np.array(factors))
    for keys in _candidates(float(max(factors)), slope, offset):
        if np.allclose(llama3_factors(turns, keys), factors, rtol=1e-5):
            return keys
    raise ValueError(
        "the factors of RoPE (rope_freqs.weight) are not Llama 3's, and config.json cannot tell of others"
    )


def _candidates(factor: float, slope: float, offset: float) -> Iterator[dict[str, Any]]:
    """Keys that tell of a line: with the published span, then with the span that it has."""
    if slope <= 0 or offset <= 0:
        return
    yield _candidate(factor, 1.0, _PUBLISHED_SPAN, slope * _PUBLISHED_SPAN)
    original = max(1, round(slope / offset))
    yield _candidate(factor, offset * original / slope, original / slope, original)


def _candidate(factor: float, low: float, span: float, original: float) -> dict[str, Any]:
    return {
        "factor": factor,
        "low_freq_factor": low,
        "high_freq_factor": low + span,
        "original_max_position_embeddings": max(1, round(original)),
    }


def _line(turns: Floats, factors: Floats) -> tuple[float, float]:
    """Slope and minus the offset of the line over the turns that leads from long waves to short ones.

    What stays of a frequency beside the part that is divided is 0 for long waves, 1 for short ones.
    """
    most = max(factors)
    stays = (1 / factors - 1 / most) / (1 - 1 / most) if most > 1 else np.ones_like(factors)
    between = (stays > 1e-5) & (stays < 1 - 1e-5)
    if between.sum() > 1:
        slope, start = np.polyfit(turns[between], stays[between], 1)
        return float(slope), -float(start)
    published = 1 / _PUBLISHED_SPAN
    if between.any():
        return float((stays[between][0] + published) / turns[between][0]), published
    # Any line that is 0 at the last of the long waves and 1 at the first of the short ones.
    first, last = turns[stays >= 0.5].min(initial=np.inf), turns[stays < 0.5].max(initial=0.0)
    if last == 0 or np.isinf(first):
        return float(published / last if last else (1 + published) / first), published
    return float(1 / (first - last)), float(last / (first - last))
