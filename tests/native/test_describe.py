"""What the core says of a file: every key that it takes, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm import _native
from phonelm.arch import DecoderConfig, RopeScaling
from phonelm.arch.tensors import model_tensors
from phonelm.formats import write_gguf, write_random_gguf
from phonelm.formats.gguf_config import config_metadata
from shapes import TINY

METADATA = config_metadata(TINY)


def described(path: Path) -> DecoderConfig:
    return DecoderConfig.model_validate_json(_native.describe(str(path)))


def tensors(config: DecoderConfig) -> dict[str, np.ndarray]:
    return {tensor.name: np.ones(tensor.shape, np.float32) for tensor in model_tensors(config)}


def written(
    folder: Path, metadata: dict[str, Any], arrays: dict[str, np.ndarray], without: tuple[str, ...] = ()
) -> Path:
    path = folder / "model.gguf"
    kept = {name: array for name, array in arrays.items() if name not in without}
    write_gguf(path, {key: value for key, value in metadata.items() if key not in without}, kept.items())
    return path


def test_keys_of_stock_files(tmp_path: Path) -> None:
    metadata = {
        "general.architecture": "llama",
        "llama.block_count": 2,
        "llama.context_length": 96,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 128,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.freq_base": 10000.0,
        "llama.attention.layer_norm_rms_epsilon": 9.999999747378752e-06,  # 1e-5 in float32
        "llama.vocab_size": 288,
        "llama.rope.dimension_count": 16,
    }
    assert described(written(tmp_path, metadata, tensors(TINY))) == TINY


def test_the_vocabulary_is_the_tokenizers(tmp_path: Path) -> None:
    metadata = METADATA | {"tokenizer.ggml.tokens": [f"token {i}" for i in range(288)]}
    path = written(tmp_path, metadata, tensors(TINY), without=("llama.vocab_size",))
    assert described(path) == TINY


def test_the_older_name_of_linear_scaling(tmp_path: Path) -> None:
    path = written(tmp_path, METADATA | {"llama.rope.scale_linear": 2.0}, tensors(TINY))
    scaling = RopeScaling(kind="linear", factor=2.0)
    assert described(path) == TINY.model_copy(update={"rope_scaling": scaling})


@pytest.mark.parametrize(
    "keys",
    [
        {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 2.0},
        {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": 1.0},
        {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 1.0},
        {"llama.rope.scaling.factor": 0.0},
        {"llama.rope.scaling.original_context_length": 512},
        {"llama.attention.sliding_window": 96},
    ],
)
def test_keys_that_change_nothing(tmp_path: Path, keys: dict[str, Any]) -> None:
    assert described(written(tmp_path, METADATA | keys, tensors(TINY))) == TINY


def test_ropes_scaled_twice_have_the_factors_of_both(tmp_path: Path) -> None:
    metadata = METADATA | {"llama.rope.scaling.factor": 2.0}
    arrays = tensors(TINY) | {"rope_freqs.weight": np.array([1, 1, 1, 1, 2, 4, 8, 8], np.float32)}
    scaling = RopeScaling(kind="factors", factors=(2, 2, 2, 2, 4, 8, 16, 16))
    found = described(written(tmp_path, metadata, arrays))
    assert found == TINY.model_copy(update={"rope_scaling": scaling})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"general.architecture": "mamba"}, "architecture 'mamba' is not supported"),
        ({"llama.rope.scaling.type": "su", "llama.rope.scaling.factor": 2.0}, r"rope.scaling.type is .su."),
        ({"llama.expert_count": 8}, "llama.expert_count is set, which is not supported"),
        ({"llama.attention.head_count": 0}, "llama.attention.head_count is 0"),
        ({"llama.attention.key_length": 0}, "llama.attention.key_length is 0"),
        ({"llama.attention.head_count_kv": [3, 1]}, "llama.attention.head_count_kv"),
        ({"llama.attention.sliding_window": 95}, "llama.attention.sliding_window is set"),
    ],
)
def test_what_the_runtime_lacks_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = written(tmp_path, METADATA | change, tensors(TINY))
    with pytest.raises(ValueError, match=message):
        described(path)


@pytest.mark.parametrize(
    ("bias", "missing"),
    [("qkv", "attn_k"), ("all", "attn_v"), ("ffn", "ffn_gate"), ("all", "attn_q")],
)
def test_biases_of_some_matrices_only_are_refused(tmp_path: Path, bias: str, missing: str) -> None:
    config = TINY.model_copy(update={"bias": bias})
    path = written(tmp_path, config_metadata(config), tensors(config), without=(f"blk.1.{missing}.bias",))
    with pytest.raises(ValueError, match=rf"blk\.1\..*{missing} one has a bias and the other has none"):
        described(path)


@pytest.mark.parametrize("key", ["llama.block_count", "llama.vocab_size", "llama.embedding_length"])
def test_a_missing_key_is_named(tmp_path: Path, key: str) -> None:
    path = written(tmp_path, METADATA, tensors(TINY), without=(key,))
    with pytest.raises(ValueError, match=f"{key} is missing"):
        described(path)


def test_the_header_alone_is_read(tmp_path: Path) -> None:
    """Zeroed weights make no difference; a file cut short is refused."""
    path = tmp_path / "model.gguf"
    write_random_gguf(path, TINY)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2] + bytes(len(raw) - len(raw) // 2))
    assert described(path) == TINY
    path.write_bytes(raw[: len(raw) // 2])
    with pytest.raises(ValueError, match=r"model\.gguf"):
        described(path)
    with pytest.raises(FileNotFoundError):
        described(tmp_path / "other.gguf")


def test_a_loaded_model_and_its_file_are_described_alike(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    write_random_gguf(path, TINY)
    model = _native.Model.load(str(path), num_threads=1)
    assert model.description == _native.describe(str(path))
    assert '"repeat": 2' in model.description
