"""The numbers of a Hugging Face checkpoint as GGUF wants them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phonelm.arch import DecoderConfig
from phonelm.arch.tensors import TensorShape
from phonelm.formats.families.base import rotating_layer
from phonelm.formats.gguf_config import GgufForm
from phonelm.formats.safetensors_reader import Checkpoint


def gguf_values(
    checkpoint: Checkpoint, config: DecoderConfig, form: GgufForm, tensor: TensorShape
) -> tuple[NDArray[np.float32], str]:
    """A tensor's numbers, and the name they have in the checkpoint or in config.json."""
    if tensor.role == "constant":
        return _rope_factors(config, tensor.name), "rope_parameters"
    name = form.family.hf_name(tensor.name)
    return form.family.stored_values(checkpoint.load(name), tensor, config, form.understood), name


def _rope_factors(config: DecoderConfig, name: str) -> NDArray[np.float32]:
    rope = rotating_layer(config).mixer.rope
    assert rope is not None
    assert rope.scaling is not None
    factors = rope.scaling.long_factors if "long" in name else rope.scaling.factors
    assert factors is not None, "config_from_hf sets them"
    return np.array(factors, np.float32)
