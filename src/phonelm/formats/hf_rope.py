"""Rotary parameters of Hugging Face's config.json, in the keys of transformers 4 and 5."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from phonelm.arch import RopeScaling

_DEFAULT_THETA = {"gemma3_text": 1e6, "smollm3": 2e6}
_LOCAL_THETA = 10000.0


def rope_theta(config_json: Mapping[str, Any]) -> float:
    """The base of the layers without a window."""
    default = _DEFAULT_THETA.get(config_json["model_type"], 10000.0)
    return float(_parameters(config_json).get("rope_theta") or config_json.get("rope_theta") or default)


def sliding_rope_theta(config_json: Mapping[str, Any]) -> float:
    """The base of Gemma-3's layers with a window. Raises `ValueError` where it is scaled."""
    local = (config_json.get("rope_parameters") or {}).get("sliding_attention") or {}
    if _kind(local) != "default":
        raise ValueError(
            f"config.json scales RoPE ({_kind(local)}) in layers with a window; it is not supported"
        )
    return float(local.get("rope_theta") or config_json.get("rope_local_base_freq") or _LOCAL_THETA)


def rope_scaling(config_json: Mapping[str, Any]) -> RopeScaling | None:
    """How the frequencies are scaled. Raises `ValueError` for a way that the runtime does not know."""
    rope = {**(config_json.get("rope_scaling") or {}), **_parameters(config_json)}
    if config_json["model_type"] != "phi3" and rope.get("partial_rotary_factor", 1.0) != 1.0:
        raise ValueError("config.json rotates a part of each head, which the runtime does not support")
    kind = _kind(rope)
    if kind == "default":
        return None
    try:
        if config_json["model_type"] == "phonelm":
            raise _unsupported(kind)
        if kind == "linear":
            return RopeScaling(kind="linear", factor=rope["factor"])
        if kind == "llama3":
            return RopeScaling(kind="factors", factors=_llama3_factors(config_json, rope))
        if kind == "longrope" or (kind in ("su", "yarn") and config_json["model_type"] == "phi3"):
            return _longrope(config_json, rope)
        if kind == "yarn":
            return _yarn(rope)
    except KeyError as error:
        raise ValueError(f"config.json scales RoPE ({kind}) but lacks {error.args[0]}") from error
    raise _unsupported(kind)


def _unsupported(kind: str) -> ValueError:
    return ValueError(f"config.json scales RoPE ({kind}), which the runtime does not support")


def _parameters(config_json: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the layers without a window."""
    parameters: Mapping[str, Any] = config_json.get("rope_parameters") or {}
    full = parameters.get("full_attention")
    return full if full is not None else {} if "sliding_attention" in parameters else parameters


def _kind(rope: Mapping[str, Any]) -> str:
    return str(rope.get("rope_type") or rope.get("type") or "default")


def _yarn(rope: Mapping[str, Any]) -> RopeScaling:
    for key in ("attention_factor", "mscale", "mscale_all_dim"):
        if rope.get(key):
            raise ValueError(f"config.json sets {key} of RoPE, which the runtime does not support")
    if not rope.get("truncate", True):
        raise ValueError("config.json does not truncate YaRN's range, which the runtime does not support")
    return RopeScaling(
        kind="yarn",
        factor=rope["factor"],
        original_context=rope["original_max_position_embeddings"],
        beta_fast=rope.get("beta_fast") or 32.0,
        beta_slow=rope.get("beta_slow") or 1.0,
    )


def _longrope(config_json: Mapping[str, Any], rope: Mapping[str, Any]) -> RopeScaling:
    """Cos and sin grow with the stretch: sqrt(1 + ln(stretch) / ln(original context))."""
    key = "original_max_position_embeddings"
    original = config_json.get(key) or rope[key]
    stretch = rope.get("factor") or config_json["max_position_embeddings"] / original
    magnitude = rope.get("attention_factor")
    if magnitude is None:
        magnitude = math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0
    return RopeScaling(
        kind="longrope",
        original_context=original,
        magnitude=magnitude,
        factors=rope["short_factor"],
        long_factors=rope["long_factor"],
    )


def _llama3_factors(config_json: Mapping[str, Any], rope: Mapping[str, Any]) -> tuple[float, ...]:
    """Wave lengths beyond the original context are divided by the factor, short ones stay.

    As `_compute_llama3_parameters` of transformers' modeling_rope_utils.
    """
    heads, hidden = config_json["num_attention_heads"], config_json["hidden_size"]
    dim = int(config_json.get("head_dim") or hidden // heads)
    factor, original = rope["factor"], rope["original_max_position_embeddings"]
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    theta = rope_theta(config_json)

    def of(index: int) -> float:
        turns = original / (2 * math.pi * theta ** (2 * index / dim))
        smooth = min(max((turns - low) / (high - low), 0.0), 1.0)
        return float(1 / ((1 - smooth) / factor + smooth))

    return tuple(of(index) for index in range(dim // 2))
