"""Decoder shapes by name: the PhoneLM family, SmolLM2-135M, and every described row of the registry."""

from __future__ import annotations

import difflib

from phonelm.arch.config import DecoderConfig
from phonelm.arch.registry import registry

PRESETS: dict[str, DecoderConfig] = {
    # Shapes of the published checkpoints mllmTeam/PhoneLM-0.5B and -1.5B (arXiv 2411.05046).
    "phonelm-0.5b": DecoderConfig.model_validate(
        {
            "vocab_size": 49152,
            "hidden_size": 1024,
            "num_layers": 24,
            "num_heads": 16,
            "num_kv_heads": 16,
            "head_dim": 64,
            "intermediate_size": 4864,
            "activation": "relu",
            "norm_eps": 1e-6,
            "rope_table": "int8",
            "context_length": 2048,
        }
    ),
    "phonelm-1.5b": DecoderConfig.model_validate(
        {
            "vocab_size": 49152,
            "hidden_size": 2560,
            "num_layers": 19,
            "num_heads": 16,
            "num_kv_heads": 16,
            "head_dim": 160,
            "intermediate_size": 6816,
            "activation": "relu",
            "norm_eps": 1e-6,
            "rope_table": "int8",
            "context_length": 2048,
        }
    ),
    "smollm2-135m": DecoderConfig.model_validate(
        {
            "vocab_size": 49152,
            "hidden_size": 576,
            "num_layers": 30,
            "num_heads": 9,
            "num_kv_heads": 3,
            "head_dim": 64,
            "intermediate_size": 1536,
            "activation": "silu",
            "norm_eps": 1e-5,
            "rope_theta": 1e5,
            "context_length": 8192,
        }
    ),
}


def preset(name: str) -> DecoderConfig:
    """The configuration of that name, whatever its case.

    Raises `ValueError` that names the nearest names, or the reason why a row of the registry has no
    configuration.
    """
    wanted = name.lower()
    if wanted in PRESETS:
        return PRESETS[wanted]
    rows = {row.name.lower(): row for row in registry()}
    if wanted not in rows:
        near = difflib.get_close_matches(wanted, preset_names(), n=3, cutoff=0.4)
        raise ValueError(f"there is no preset {name!r}; try {', '.join(near or sorted(PRESETS))}")
    row = rows[wanted]
    if row.config is None:
        raise ValueError(f"{row.name} has no decoder configuration: {row.unsupported_reason}")
    return row.config


def preset_names() -> list[str]:
    """All names that `preset` knows, in lower case."""
    return sorted({*PRESETS, *(row.name.lower() for row in registry() if row.config is not None)})
