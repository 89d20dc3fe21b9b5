from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.arch import DecoderConfig, RopeScaling, preset
from phonelm.arch.tensors import model_tensors
from phonelm.formats import read_gguf_config, write_gguf
from phonelm.formats.gguf_architectures import gguf_architecture
from phonelm.formats.gguf_config import config_metadata

SMALL = preset("smollm2-135m").model_copy(
    update={
        "vocab_size": 300,
        "hidden_size": 64,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 16,
        "intermediate_size": 96,
    }
)
GEMMA = {
    "activation": "gelu_tanh",
    "qk_norm": "head",
    "post_norm": True,
    "scale_embedding": True,
    "num_layers": 8,
}
WINDOWS = {
    "sliding_window": 64,
    "sliding_layers": (True,) * 5 + (False, True, True),
    "sliding_rope_theta": 1e3,
    "rope_theta": 1e6,
}


def written(folder: Path, config: DecoderConfig) -> Path:
    path = folder / "model.gguf"
    arrays = [(tensor.name, np.ones(tensor.shape, np.float32)) for tensor in model_tensors(config)]
    write_gguf(path, config_metadata(config), arrays)
    return path


@pytest.mark.parametrize(
    ("change", "arch"),
    [
        ({}, "llama"),
        ({"norm_eps": 1e-6, "rope_theta": 1234567.0, "context_length": 131072}, "llama"),
        ({"tie_embeddings": False, "head_dim": 48}, "llama"),
        ({"ffn": "plain", "activation": "relu2"}, "arcee"),
        ({"ffn": "plain", "activation": "relu2", "bias": "none"}, "arcee"),
        ({"ffn": "plain"}, "phonelm"),
        ({"ffn": "plain", "activation": "relu"}, "phonelm"),
        ({"activation": "relu"}, "phonelm"),
        ({"activation": "relu2"}, "phonelm"),
        ({"rope_table": "int8"}, "phonelm"),
        ({"bias": "qkv"}, "qwen2"),
        ({"bias": "attention"}, "llama"),
        ({"bias": "ffn"}, "llama"),
        ({"bias": "all"}, "llama"),
        ({"rope_scaling": RopeScaling(kind="linear", factor=4.0)}, "llama"),
        ({"rope_scaling": RopeScaling(kind="linear", factor=0.1, magnitude=1.1)}, "llama"),
        ({"rope_scaling": RopeScaling(kind="yarn", factor=4.0, original_context=2048)}, "llama"),
        (
            {
                "rope_scaling": RopeScaling(
                    kind="yarn",
                    factor=2.5,
                    original_context=512,
                    magnitude=0.9,
                    beta_fast=24.0,
                    beta_slow=1.5,
                )
            },
            "llama",
        ),
        ({"rope_scaling": RopeScaling(kind="factors")}, "llama"),
        ({"fused_projections": True, "sliding_window": 2047, "rope_fraction": 0.75}, "phi3"),
        (
            {
                "fused_projections": True,
                "rope_scaling": RopeScaling(kind="longrope", original_context=512, magnitude=1.19),
            },
            "phi3",
        ),
        ({"rope_layers": (True, True, True, False) * 7 + (True, True)}, "smollm3"),
        ({"qk_norm": "head"}, "qwen3"),
        ({"qk_norm": "head", "bias": "qkv"}, "qwen3"),
        (GEMMA, "gemma3"),
        (GEMMA | WINDOWS, "gemma3"),
        (GEMMA | WINDOWS | {"sliding_layers": (False, True) * 4}, "gemma3"),
        (GEMMA | WINDOWS | {"rope_scaling": RopeScaling(kind="linear", factor=8.0)}, "gemma3"),
        (GEMMA | {"sliding_window": 64, "sliding_layers": (True,) * 8}, "gemma3"),
        # As many layers as the 27B model, whose scale is not that of its heads.
        (GEMMA | {"num_layers": 62, "attention_scale": 0.25, "head_dim": 32}, "gemma3"),
    ],
)
def test_there_and_back(tmp_path: Path, change: dict[str, Any], arch: str) -> None:
    config = SMALL.model_copy(update=change)
    assert gguf_architecture(config) == arch
    assert read_gguf_config(written(tmp_path, config)) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sliding_window": 64}, "sliding_window = 64"),
        ({"rope_fraction": 0.5}, "rope_fraction = 0.5"),
        ({"qk_norm": "full"}, "qk_norm = full"),
        ({"rope_layers": (False,) * 30}, "all but every fourth"),
        ({"bias": "qkv", "qk_norm": "head", "scale_embedding": True}, "scale_embedding = True"),
        ({"activation": "gelu_tanh"}, "activation = gelu_tanh"),
        (
            {"activation": "relu", "rope_scaling": RopeScaling(kind="linear", factor=2.0)},
            "no phonelm decoders",
        ),
    ],
)
def test_mixtures_that_have_no_name_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gguf_architecture(SMALL.model_copy(update=change))


@pytest.mark.parametrize("name", ["OPT-125M", "OpenELM-270M", "Pythia-160M", "Gemma-2B"])
def test_decoders_of_another_kind_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the runtime has no decoders with"):
        config_metadata(preset(name))
