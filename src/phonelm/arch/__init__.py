"""What a decoder is: the configuration, presets, the survey's registry, and the arithmetic of shapes."""

from phonelm.arch.arithmetic import (
    ParameterCount,
    count_parameters,
    flops_per_token,
    kv_bytes_per_token,
    weight_bytes,
)
from phonelm.arch.config import DecoderConfig, RopeScaling
from phonelm.arch.presets import preset, preset_names
from phonelm.arch.registry import RegistryRow, registry

__all__ = [
    "DecoderConfig",
    "ParameterCount",
    "RegistryRow",
    "RopeScaling",
    "count_parameters",
    "flops_per_token",
    "kv_bytes_per_token",
    "preset",
    "preset_names",
    "registry",
    "weight_bytes",
]
