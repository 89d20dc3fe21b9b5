from typing import Any

import pytest
from phonelm.formats.gguf_architectures import gguf_architecture

from phonelm.arch import DecoderConfig, RopeScaling, preset
from phonelm.arch.tensors import model_tensors
from phonelm.formats import config_from_gguf
from phonelm.formats.gguf_config import config_metadata

SMOL = preset("smollm2-135m")


def names(config: DecoderConfig) -> set[str]:
    return {tensor.name for tensor in model_tensors(config)}


@pytest.mark.parametrize(
    ("change", "arch"),
    [
        ({}, "llama"),
        ({"tie_embeddings": False, "head_dim": 48}, "llama"),
        ({"ffn": "plain", "activation": "relu2"}, "arcee"),
        ({"ffn": "plain"}, "phonelm"),
        ({"activation": "relu"}, "phonelm"),
        ({"rope_table": "int8"}, "phonelm"),
        ({"bias": "qkv"}, "qwen2"),
        ({"bias": "all"}, "llama"),
        ({"rope_scaling": RopeScaling(kind="linear", factor=4.0)}, "llama"),
        ({"rope_scaling": RopeScaling(kind="yarn", factor=4.0, original_context=2048)}, "llama"),
        ({"rope_scaling": RopeScaling(kind="factors")}, "llama"),
        ({"fused_projections": True, "sliding_window": 2047, "rope_fraction": 0.75}, "phi3"),
        ({"rope_layers": (True, True, True, False) * 7 + (True, True)}, "smollm3"),
        ({"qk_norm": "head"}, "qwen3"),
    ],
)
def test_there_and_back(change: dict[str, Any], arch: str) -> None:
    config = SMOL.model_copy(update=change)
    assert gguf_architecture(config) == arch
    assert config_from_gguf(config_metadata(config), names(config)) == config


def test_keys_of_stock_files() -> None:
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 30,
        "llama.context_length": 8192,
        "llama.embedding_length": 576,
        "llama.feed_forward_length": 1536,
        "llama.attention.head_count": 9,
        "llama.attention.head_count_kv": 3,
        "llama.rope.freq_base": 100000.0,
        "llama.attention.layer_norm_rms_epsilon": 9.999999747378752e-06,  # 1e-5 in float32
        "llama.vocab_size": 49152,
        "llama.rope.dimension_count": 64,
    }
    assert config_from_gguf(metadata, names(SMOL)) == SMOL


@pytest.mark.parametrize(
    ("change", "extra", "message"),
    [
        ({"general.architecture": "mamba"}, (), "architecture 'mamba' is not supported"),
        ({"llama.rope.scaling.type": "su", "llama.rope.scaling.factor": 2.0}, (), r"scales RoPE .* \(su\)"),
        ({"llama.expert_count": 8}, (), "mixture of experts"),
        ({"llama.attention.head_count": 0}, (), "num_heads"),
        ({"llama.attention.key_length": 0}, (), "rope.fraction"),
        ({"llama.attention.head_count_kv": [3, 1]}, (), "different sizes"),
    ],
)
def test_what_the_runtime_lacks_is_refused(
    change: dict[str, Any], extra: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        config_from_gguf(config_metadata(SMOL) | change, names(SMOL) | set(extra))


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
        gguf_architecture(SMOL.model_copy(update=change))


@pytest.mark.parametrize("key", ["llama.block_count", "llama.vocab_size", "llama.embedding_length"])
def test_a_missing_key_is_named(key: str) -> None:
    metadata = config_metadata(SMOL)
    del metadata[key]
    with pytest.raises(ValueError, match=f"lack {key}"):
        config_from_gguf(metadata, names(SMOL))


@pytest.mark.parametrize("name", ["OPT-125M", "OpenELM-270M", "Pythia-160M", "Gemma-2B"])
def test_decoders_of_another_kind_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="the runtime has no decoders with"):
        config_metadata(preset(name))
