"""Rotary parameters of Hugging Face's config.json, in the keys of transformers 4 and 5."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from phonelm.arch import Rope, RopeScaling


def rope_of(
    config_json: Mapping[str, Any], default_theta: float, kinds: Mapping[str, str], rotates_a_part: bool
) -> Rope:
    """The rope of the layers without a window.

    `kinds` are the scalings of the model type, under the names that config.json may give them;
    `rotates_a_part` is whether a part of each head may stay as it is. Raises `ValueError` for a rope that the
    runtime does not know.
    """
    rope = {**(config_json.get("rope_scaling") or {}), **_parameters(config_json)}
    theta = float(rope.get("rope_theta") or config_json.get("rope_theta") or default_theta)
    fraction = float(rope.get("partial_rotary_factor") or config_json.get("partial_rotary_factor") or 1.0)
    if fraction != 1.0 and not rotates_a_part:
        raise ValueError("config.json rotates a part of each head, which the runtime does not support")
    return Rope(theta=theta, fraction=fraction, scaling=_scaling(config_json, rope, theta, kinds))


def rope_kind(rope: Mapping[str, Any]) -> str:
    """The name of a scaling, in old files and new ones."""
    return str(rope.get("rope_type") or rope.get("type") or "default")


def _scaling(
    config_json: Mapping[str, Any], rope: Mapping[str, Any], theta: float, kinds: Mapping[str, str]
) -> RopeScaling | None:
    kind = rope_kind(rope)
    if kind == "default":
        return None
    if kind not in kinds:
        raise ValueError(f"config.json scales RoPE ({kind}), which the runtime does not support")
    try:
        if kinds[kind] == "linear":
            return RopeScaling(kind="linear", factor=rope["factor"])
        if kinds[kind] == "llama3":
            return RopeScaling(
                kind="factors", factors=llama3_factors(turns_per_token(theta, _head_dim(config_json)), rope)
            )
        return _yarn(rope) if kinds[kind] == "yarn" else _longrope(config_json, rope)
    except KeyError as error:
        raise ValueError(f"config.json scales RoPE ({kind}) but lacks {error.args[0]}") from error


def _parameters(config_json: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the layers without a window."""
    parameters: Mapping[str, Any] = config_json.get("rope_parameters") or {}
    full = parameters.get("full_attention")
    return full if full is not None else {} if "sliding_attention" in parameters else parameters


def _yarn(rope: Mapping[str, Any]) -> RopeScaling:
    if not rope.get("truncate", True):
        raise ValueError("config.json does not truncate YaRN's range, which the runtime does not support")
    return RopeScaling(
        kind="yarn",
        factor=rope["factor"],
        original_context=rope["original_max_position_embeddings"],
        magnitude=_yarn_magnitude(rope),
        beta_fast=rope.get("beta_fast") or 32.0,
        beta_slow=rope.get("beta_slow") or 1.0,
    )


def _yarn_magnitude(rope: Mapping[str, Any]) -> float:
    """What cos and sin grow by beside YaRN's own 1 + ln(factor) / 10.

    As `_compute_yarn_parameters` of transformers' modeling_rope_utils: `attention_factor` stands instead of
    it, and without one the quotient of two `mscale`s does, of which one alone says nothing.
    """
    factor, meant = rope["factor"], rope.get("attention_factor")
    mscales = rope.get("mscale"), rope.get("mscale_all_dim")
    if meant is None and all(mscales):
        meant = yarn_growth(factor, mscales[0]) / yarn_growth(factor, mscales[1])
    if meant is None:
        return 1.0
    if not 0 < meant < math.inf:
        raise ValueError(f"config.json scales cos and sin of RoPE by {meant}; the factor must be positive")
    return float(meant / yarn_growth(factor, 1.0))


def yarn_growth(factor: float, mscale: Any) -> float:
    """What cos and sin grow by under YaRN."""
    return float(0.1 * mscale * math.log(factor) + 1.0) if factor > 1 else 1.0


def _longrope(config_json: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    key = "original_max_position_embeddings"
    original = config_json.get(key) or rope[key]
    stretch = rope.get("factor") or config_json["max_position_embeddings"] / original
    magnitude = rope.get("attention_factor")
    if magnitude is None:
        magnitude = longrope_magnitude(stretch, original)
    return RopeScaling(
        kind="longrope",
        original_context=original,
        magnitude=magnitude,
        factors=rope["short_factor"],
        long_factors=rope["long_factor"],
    )


def longrope_magnitude(stretch: float, original: int) -> float:
    """Cos and sin grow with the stretch: sqrt(1 + ln(stretch) / ln(original context))."""
    return math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0


def llama3_factors(turns: Iterable[float], rope: Mapping[str, Any]) -> tuple[float, ...]:
    """Wave lengths beyond the original context are divided by the factor, short ones stay.

    As `_compute_llama3_parameters` of transformers' modeling_rope_utils; `turns` as `turns_per_token`.
    """
    factor, original = rope["factor"], rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]

    def of(turn: float) -> float:
        smooth = min(max((original * turn - low) / (high - low), 0.0), 1.0)
        return float(1 / ((1 - smooth) / factor + smooth))

    return tuple(map(of, turns))


def turns_per_token(theta: float, dim: int) -> list[float]:
    """How often each of the pairs of `dim` dimensions turns around from one position to the next."""
    return [1 / (2 * math.pi * theta ** (2 * index / dim)) for index in range(dim // 2)]


def _head_dim(config_json: Mapping[str, Any]) -> int:
    return int(
        config_json.get("head_dim") or config_json["hidden_size"] // config_json["num_attention_heads"]
    )
