from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm.arch import DecoderConfig, RopeScaling, preset
from phonelm.arch.tensors import model_tensors
from phonelm.formats import describe_gguf, write_gguf
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


def tensors(config: DecoderConfig) -> dict[str, np.ndarray]:
    return {tensor.name: np.ones(tensor.shape, np.float16 if len(tensor.shape) > 1 else np.float32)
            for tensor in model_tensors(config)}  # fmt: skip


def written(
    folder: Path, metadata: dict[str, Any], arrays: dict[str, np.ndarray], without: tuple[str, ...] = ()
) -> Path:
    path = folder / "model.gguf"
    kept = {name: array for name, array in arrays.items() if name not in without}
    write_gguf(path, {key: value for key, value in metadata.items() if key not in without}, kept.items())
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
    path = written(tmp_path, config_metadata(config), tensors(config))
    assert describe_gguf(path) == config


def test_keys_of_stock_files(tmp_path: Path) -> None:
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 30,
        "llama.context_length": 8192,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 96,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.freq_base": 100000.0,
        "llama.attention.layer_norm_rms_epsilon": 9.999999747378752e-06,  # 1e-5 in float32
        "llama.vocab_size": 300,
        "llama.rope.dimension_count": 16,
    }
    assert describe_gguf(written(tmp_path, metadata, tensors(SMALL))) == SMALL


def test_the_vocabulary_is_the_tokenizers(tmp_path: Path) -> None:
    metadata = config_metadata(SMALL) | {"tokenizer.ggml.tokens": [f"token {i}" for i in range(300)]}
    path = written(tmp_path, metadata, tensors(SMALL), without=("llama.vocab_size",))
    assert describe_gguf(path) == SMALL


def test_the_older_name_of_linear_scaling(tmp_path: Path) -> None:
    path = written(tmp_path, config_metadata(SMALL) | {"llama.rope.scale_linear": 2.0}, tensors(SMALL))
    scaling = RopeScaling(kind="linear", factor=2.0)
    assert describe_gguf(path) == SMALL.model_copy(update={"rope_scaling": scaling})


@pytest.mark.parametrize(
    "keys",
    [
        {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 2.0},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 1.0},
        {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 1.0},
        {"llama.rope.scaling.factor": 0.0},
        {"llama.rope.scaling.original_context_length": 512},
        {"llama.attention.sliding_window": 8192},
    ],
)
def test_keys_that_change_nothing(tmp_path: Path, keys: dict[str, Any]) -> None:
    assert describe_gguf(written(tmp_path, config_metadata(SMALL) | keys, tensors(SMALL))) == SMALL


def test_ropes_scaled_twice_have_the_factors_of_both(tmp_path: Path) -> None:
    metadata = config_metadata(SMALL) | {"llama.rope.scaling.factor": 2.0}
    arrays = tensors(SMALL) | {"rope_freqs.weight": np.array([1, 1, 1, 1, 2, 4, 8, 8], np.float32)}
    scaling = RopeScaling(kind="factors", factors=(2, 2, 2, 2, 4, 8, 16, 16))
    described = describe_gguf(written(tmp_path, metadata, arrays))
    assert described == SMALL.model_copy(update={"rope_scaling": scaling})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general.architecture": "mamba"}, "architecture 'mamba' is not supported"),
        ({"llama.rope.scaling.type": "su", "llama.rope.scaling.factor": 2.0}, r"rope.scaling.type is .su."),
        ({"llama.expert_count": 8}, "llama.expert_count is set, which is not supported"),
        ({"llama.attention.head_count": 0}, "llama.attention.head_count is 0"),
        ({"llama.attention.key_length": 0}, "llama.attention.key_length is 0"),
        ({"llama.attention.head_count_kv": [3, 1]}, "llama.attention.head_count_kv"),
        ({"llama.attention.sliding_window": 64}, "llama.attention.sliding_window is set"),
    ],
)
def test_what_the_runtime_lacks_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, config_metadata(SMALL) | change, tensors(SMALL))
    with pytest.raises(ValueError, match=message):
        describe_gguf(path)


@pytest.mark.parametrize(
    ("bias", "missing"),
    [("qkv", "attn_k"), ("all", "attn_v"), ("ffn", "ffn_gate"), ("all", "attn_q")],
)
def test_biases_of_some_matrices_only_are_refused(tmp_path: Path, bias: str, missing: str) -> None:
    config = SMALL.model_copy(update={"bias": bias})
    path = written(tmp_path, config_metadata(config), tensors(config), without=(f"blk.3.{missing}.bias",))
    with pytest.raises(ValueError, match=rf"blk\.3\..*{missing} one has a bias and the other has none"):
        describe_gguf(path)


@pytest.mark.parametrize("key", ["llama.block_count", "llama.vocab_size", "llama.embedding_length"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, config_metadata(SMALL), tensors(SMALL), without=(key,))
    with pytest.raises(ValueError, match=f"{key} is missing"):
        describe_gguf(path)


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
