"""DecoderConfig to GGUF metadata, with the names and keys of llama.cpp's converter.

What a file of these keys means is asked of the core, before any weight is written: a decoder is refused where
the core would understand another one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from phonelm.arch import DecoderConfig, Rope
from phonelm.arch.norm import NormKind
from phonelm.arch.tensors import model_tensors
from phonelm.formats.families import FAMILIES, Family
from phonelm.formats.families.base import rotating_layer
from phonelm.formats.gguf_outline import differences, understood


@dataclass(frozen=True)
class GgufForm:
    """A decoder as a GGUF file: its family, the architecture's keys, and what the core makes of these."""

    family: Family
    keys: dict[str, Any]
    understood: DecoderConfig


def config_metadata(config: DecoderConfig) -> dict[str, Any]:
    """The architecture's GGUF keys. Raises `ValueError` for a decoder that the runtime cannot run."""
    return dict(gguf_form(config).keys)


def gguf_architecture(config: DecoderConfig) -> str:
    """The `general.architecture` of a decoder; `ValueError` if the runtime cannot run it."""
    return gguf_form(config).family.architecture


def gguf_form(config: DecoderConfig) -> GgufForm:
    """The form that the core understands as this decoder.

    Raises `ValueError` naming the nearest architecture and the first feature that it lacks.
    """
    nearest = _nearest(config)
    for feature in nearest.lacking:
        raise ValueError(f"the runtime has no {nearest.family.architecture} decoders with {feature}")
    assert nearest.form is not None
    return nearest.form


def lacking_features(config: DecoderConfig) -> Iterator[str]:
    """Everything in a decoder that the runtime cannot run, as `path = value`."""
    yield from _nearest(config).lacking


@dataclass(frozen=True)
class _Attempt:
    """A decoder in a family's files: the form, where the family has its features, and what differs."""

    family: Family
    form: GgufForm | None
    lacking: tuple[str, ...]


@lru_cache(maxsize=64)
def _nearest(config: DecoderConfig) -> _Attempt:
    """The first family whose file the core understands as this decoder, or the one that lacks least."""
    attempts = []
    for family in FAMILIES:
        attempts.append(_attempt(config, family))
        if not attempts[-1].lacking:
            return attempts[-1]
    return min(attempts, key=lambda attempt: (len(attempt.lacking), attempt.form is None))


def _attempt(config: DecoderConfig, family: Family) -> _Attempt:
    if lacking := tuple(family.lacking(config)):
        return _Attempt(family, None, lacking)
    form = _form(config, family)
    return _Attempt(family, form, tuple(differences(config, form.understood, family.held_by_tensors)))


def _form(config: DecoderConfig, family: Family) -> GgufForm:
    keys = {**_common_keys(config), **family.gguf_keys(config)}
    found = understood(_named(keys, family), model_tensors(config))
    if more := family.completing_keys(config, found):
        keys |= more
        found = understood(_named(keys, family), model_tensors(config))
    return GgufForm(family, _named(keys, family), found)


def _named(keys: dict[str, Any], family: Family) -> dict[str, Any]:
    prefixed = {f"{family.architecture}.{key}": value for key, value in keys.items()}
    return {"general.architecture": family.architecture, **prefixed}


_EPSILON_KEYS: dict[NormKind, str] = {
    "rmsnorm": "layer_norm_rms_epsilon",
    "layernorm": "layer_norm_epsilon",
    "layernorm_no_bias": "layer_norm_epsilon",
    "layernorm_nonparametric": "layer_norm_epsilon",
}


def _common_keys(config: DecoderConfig) -> dict[str, Any]:
    """The keys of every architecture, without its prefix."""
    layer = rotating_layer(config)
    mixer, rope = layer.mixer, layer.mixer.rope or Rope()
    return {
        "context_length": config.context_length,
        "embedding_length": config.hidden_size,
        "block_count": config.num_layers,
        "feed_forward_length": layer.ffn.intermediate_size,
        "attention.head_count": mixer.num_heads,
        "attention.head_count_kv": mixer.num_kv_heads,
        "attention.key_length": mixer.head_dim,
        "attention.value_length": mixer.head_dim,
        f"attention.{_EPSILON_KEYS[config.norm.kind]}": config.norm.eps,
        "rope.dimension_count": rope.rotated_dims(mixer.head_dim),
        "rope.freq_base": rope.theta,
        "vocab_size": config.vocab_size,
        **_scaling_keys(rope),
    }


def _scaling_keys(rope: Rope) -> dict[str, Any]:
    scaling = rope.scaling
    if scaling is None or scaling.kind == "factors":
        return {}
    keys: dict[str, Any] = {}
    if scaling.kind != "longrope":
        keys |= {"rope.scaling.type": scaling.kind, "rope.scaling.factor": scaling.factor}
    if scaling.magnitude != 1.0:
        keys["rope.scaling.attn_factor"] = scaling.magnitude
    if scaling.original_context is not None:
        keys["rope.scaling.original_context_length"] = scaling.original_context
    if scaling.kind == "yarn":
        keys |= {
            "rope.scaling.yarn_beta_fast": scaling.beta_fast,
            "rope.scaling.yarn_beta_slow": scaling.beta_slow,
        }
    return keys
