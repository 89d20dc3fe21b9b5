"""The native graph against torch: transformers' Llama and this package's own PhoneLM, tiny and random."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import phonelm.hf  # noqa: F401
from phonelm import _native, formats
from phonelm.data.tokenizer import save_tokenizer, train_tokenizer
from phonelm.train.model import PhoneLMForCausalLM

ISAS = _native.cpu_info()["isas"]
NUM_TOKENS = 96
VOCAB_SIZE = 320

SHAPES: dict[str, dict[str, Any]] = {
    "gqa": {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24},
    "mha": {"num_attention_heads": 3, "num_key_value_heads": 3, "head_dim": 32},
    "mqa": {"num_attention_heads": 6, "num_key_value_heads": 1, "head_dim": 20},
}


def save_checkpoint(folder: Path, model_type: str, seed: int = 0, **overrides: Any) -> Any:
    """A random model with norms that are not all ones, and biases that are not zero."""
    settings = {
        "vocab_size": VOCAB_SIZE, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 3,
        "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "initializer_range": 0.04,
        "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(seed)
    config = transformers.AutoConfig.for_model(model_type, **{**settings, **overrides})
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name:
                smallest = -0.5 if model_type == "gemma3_text" else 0.5  # which multiplies by 1 + weight
                parameter.uniform_(smallest, smallest + 1)
            elif name.endswith(".bias"):
                parameter.uniform_(-0.2, 0.2)
    model.save_pretrained(folder)
    save_tokenizer(train_tokenizer(["some words, 123 numbers"], VOCAB_SIZE), folder)
    return model


def convert(folder: Path, block_type: str = "f32") -> Path:
    out = folder / f"{block_type}.gguf"
    formats.convert_checkpoint(folder, out, block_type=block_type)
    return out


def random_ids(seed: int = 1, count: int = NUM_TOKENS) -> list[int]:
    return np.random.default_rng(seed).integers(0, VOCAB_SIZE, count).tolist()


def torch_logits(model: Any, ids: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = model(torch.tensor([ids])).logits[0].float().numpy()
    return logits


def native_logits(path: Path, ids: list[int], isa: str = "", num_threads: int = 2) -> np.ndarray:
    session = _native.Model.load(str(path), isa=isa, num_threads=num_threads).new_session(256)
    return session.prefill_logits(ids)


def relative_error(result: np.ndarray, expected: np.ndarray) -> float:
    return float(np.sqrt(np.mean((result - expected) ** 2)) / expected.std())


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("isa", ISAS)
def test_llama(tmp_path: Path, isa: str, shape: str, tied: bool) -> None:
    model = save_checkpoint(tmp_path, "llama", tie_word_embeddings=tied, **SHAPES[shape])
    ids = random_ids()
    np.testing.assert_allclose(
        native_logits(convert(tmp_path), ids, isa), torch_logits(model, ids), atol=1e-3
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "kind",
    [
        {"hidden_act": "relu", "rope_table": "int8"},
        {"hidden_act": "silu", "rope_table": "int8"},
        {"hidden_act": "relu2", "rope_table": "float", "ffn_gated": False},
        {"hidden_act": "relu", "rope_table": "float"},
        {"hidden_act": "relu", "rope_table": "int8", "norm_kind": "layernorm"},
    ],
    ids=lambda kind: "-".join(str(value) for value in kind.values()),
)
def test_phonelm(tmp_path: Path, shape: str, kind: dict[str, Any]) -> None:
    model = save_checkpoint(tmp_path, "phonelm", **kind, **SHAPES[shape])
    assert isinstance(model, PhoneLMForCausalLM)
    ids = random_ids()
    np.testing.assert_allclose(native_logits(convert(tmp_path), ids), torch_logits(model, ids), atol=1e-3)


@pytest.mark.parametrize("model_type", ["llama", "phonelm"])
def test_large_weights(tmp_path: Path, model_type: str) -> None:
    """Sharp attention and large activations show what small weights hide; the fp16 cache bounds the error."""
    table = {"rope_table": "int8"} if model_type == "phonelm" else {}
    model = save_checkpoint(tmp_path, model_type, initializer_range=0.2, **SHAPES["gqa"], **table)
    ids = random_ids()
    assert relative_error(native_logits(convert(tmp_path), ids), torch_logits(model, ids)) < 0.005


def test_fixed_table_stays_near_the_published_per_call_scaling(tmp_path: Path) -> None:
    model = save_checkpoint(
        tmp_path, "phonelm", hidden_act="relu", rope_table="int8_per_call", **SHAPES["mha"]
    )
    ids = random_ids()
    np.testing.assert_allclose(native_logits(convert(tmp_path), ids), torch_logits(model, ids), atol=2e-2)


@pytest.mark.parametrize("block_type", ["f16", "q8_0", "q4_0", "q4_1"])
@pytest.mark.parametrize("isa", ISAS)
def test_quantized_weights(tmp_path: Path, isa: str, block_type: str) -> None:
    """Against torch with the same rounded weights: what is left is the rounding of the activations.

    To int8 before the products, to bfloat16 in attention.
    """
    save_checkpoint(tmp_path, "llama", **SHAPES["mha"])
    path = convert(tmp_path, block_type)
    dequantized = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.float32
    )
    ids = random_ids()
    expected = torch_logits(dequantized.eval(), ids)
    result = native_logits(path, ids, isa)
    assert relative_error(result, expected) < (0.002 if block_type == "f16" else 0.012)


@pytest.mark.parametrize(("block_type", "bound"), [("f32", 1e-4), ("q4_0", 0.03)])
def test_one_by_one_equals_all_at_once(tmp_path: Path, block_type: str, bound: float) -> None:
    """Quantized matrices: a batch rounds activations more coarsely than a single token does."""
    save_checkpoint(tmp_path, "llama", **SHAPES["gqa"])
    model = _native.Model.load(str(convert(tmp_path, block_type)))
    ids = random_ids()
    together = model.new_session(256).prefill_logits(ids)
    session = model.new_session(256)
    one_by_one = []
    for token in ids:
        session.prefill([token])
        one_by_one.append(session.logits())
    assert relative_error(np.stack(one_by_one), together) < bound


@pytest.mark.parametrize("num_threads", [1, 2, 3, 7])
def test_threads_and_chunks_do_not_change_the_result(tmp_path: Path, num_threads: int) -> None:
    save_checkpoint(tmp_path, "llama", max_position_embeddings=1024, **SHAPES["mha"])
    path = convert(tmp_path, "q4_0")
    ids = random_ids(count=700)
    reference = _native.Model.load(str(path), num_threads=1).new_session(1024)
    reference.prefill(ids[:333])
    reference.prefill(ids[333:])
    session = _native.Model.load(str(path), num_threads=num_threads).new_session(1024)
    session.prefill(ids)
    np.testing.assert_allclose(session.logits(), reference.logits(), rtol=1e-4, atol=1e-4)


def test_truncate_forgets(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "llama", **SHAPES["mha"])
    session = _native.Model.load(str(convert(tmp_path))).new_session(256)
    session.prefill([1, 2, 3])
    expected = session.logits()
    session.prefill([4, 5, 6])
    session.truncate(2)
    session.prefill([3])
    assert session.position == 3
    np.testing.assert_allclose(session.logits(), expected, atol=1e-6)


def test_wrong_calls_are_refused_and_change_nothing(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "llama", **SHAPES["mha"])
    model = _native.Model.load(str(convert(tmp_path)))
    with pytest.raises(ValueError, match="context length is 257"):
        model.new_session(257)
    session = model.new_session(8)
    with pytest.raises(ValueError, match="no logits"):
        session.logits()
    session.prefill([1, 2])
    refused = (
        ([], "no tokens"),
        ([VOCAB_SIZE], "not in the vocab"),
        ([-1], "not in"),
        ([1] * 7, "do not fit"),
    )
    for tokens, message in refused:
        with pytest.raises(ValueError, match=message):
            session.prefill(tokens)
    with pytest.raises(ValueError, match="cannot go back"):
        session.truncate(3)
    assert session.position == 2
    session.prefill([1] * 6)
    with pytest.raises(ValueError, match="threads is 1000"):
        _native.Model.load(str(tmp_path / "f32.gguf"), num_threads=1000)
    with pytest.raises(ValueError, match="instruction set"):
        _native.Model.load(str(tmp_path / "f32.gguf"), isa="mmx")
