"""What a decoder is: the configuration, presets, the survey's registry, and the arithmetic of shapes."""

from phonelm.arch.arithmetic import (
    ParameterCount,
    count_parameters,
    flops_per_token,
    kv_bytes_per_token,
    weight_bytes,
)
from phonelm.arch.attention import Attention
from phonelm.arch.config import DecoderConfig
from phonelm.arch.ends import Embedding, Head
from phonelm.arch.features import ANY, Support, features, neutral_values
from phonelm.arch.ffn import Ffn
from phonelm.arch.layer import Layer, Residual
from phonelm.arch.norm import Norm
from phonelm.arch.presets import preset, preset_names
from phonelm.arch.registry import RegistryRow, registry
from phonelm.arch.rope import Rope, RopeScaling

__all__ = [
    "ANY",
    "Attention",
    "DecoderConfig",
    "Embedding",
    "Ffn",
    "Head",
    "Layer",
    "Norm",
    "ParameterCount",
    "RegistryRow",
    "Residual",
    "Rope",
    "RopeScaling",
    "Support",
    "count_parameters",
    "features",
    "flops_per_token",
    "kv_bytes_per_token",
    "neutral_values",
    "preset",
    "preset_names",
    "registry",
    "weight_bytes",
]
