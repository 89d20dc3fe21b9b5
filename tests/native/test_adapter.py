"""Adapter files of every type, on every instruction set and number of threads, and broken ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf_bytes import FLOAT32, STRING, GgufBytes, Tensor
from test_graph import relative_error

from lora_folders import random_pair, write_adapter
from phonelm import _native
from phonelm.arch.tensors import model_tensors
from phonelm.formats import QuantizedTensor, dequantize, quantize, write_gguf, write_random_gguf
from phonelm.formats.byte_vocabulary import byte_tokenizer_metadata
from phonelm.formats.gguf_config import config_metadata
from shapes import TINY

ISAS = _native.cpu_info()["isas"]
IDS = np.random.default_rng(0).integers(0, 256, 40).tolist()
SHAPES = {
    "blk.0.attn_q.weight": (64, 64),
    "blk.0.attn_k.weight": (32, 64),
    "blk.1.attn_v.weight": (32, 64),
    "blk.1.attn_output.weight": (64, 64),
    "blk.0.ffn_gate.weight": (128, 64),
    "blk.1.ffn_up.weight": (128, 64),
    "blk.1.ffn_down.weight": (64, 128),
    "output.weight": (288, 64),
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapter") / "model.gguf"
    write_random_gguf(path, TINY, block_type="f32", embedding_type="f32", seed=1)
    return path


@pytest.fixture(scope="module")
def model(path: Path) -> _native.Model:
    return _native.Model.load(str(path), num_threads=2)


def random_pairs(rank: int = 5) -> dict[str, tuple[Any, Any]]:
    return {name: random_pair(*shape, rank, seed) for seed, (name, shape) in enumerate(SHAPES.items())}


def logits(model: _native.Model, *sources: tuple[Path, float], alone: bool = False) -> np.ndarray:
    adapters = _native.Adapters.load(model, [(str(path), scale) for path, scale in sources])
    session = model.new_session(len(IDS), adapters)
    if not alone:
        return session.prefill_logits(IDS)
    for token in IDS:
        session.prefill([token])
    return session.logits()[None]


@pytest.mark.parametrize("rank", [1, 5, 16, 33])
@pytest.mark.parametrize("isa", ISAS)
def test_instruction_sets_and_threads_agree(path: Path, tmp_path: Path, isa: str, rank: int) -> None:
    adapter = write_adapter(tmp_path / "a.gguf", random_pairs(rank), alpha=float(rank))
    scalar = _native.Model.load(str(path), isa="scalar", num_threads=1)
    expected = logits(scalar, (adapter, 1.0))
    assert np.abs(expected - scalar.new_session(40).prefill_logits(IDS)).max() > 0.1
    for num_threads in (1, 2, 3, 7):
        other = _native.Model.load(str(path), isa=isa, num_threads=num_threads)
        assert relative_error(logits(other, (adapter, 1.0)), expected) < 1e-3
        assert relative_error(logits(other, (adapter, 1.0), alone=True), expected[-1:]) < 1e-3


@pytest.mark.parametrize("kinds", [("F16", "F16"), ("BF16", "BF16"), ("Q8_0", "F16"), ("Q4_0", "F32")])
def test_other_types_count_as_the_numbers_they_hold(
    model: _native.Model, tmp_path: Path, kinds: tuple[str, str]
) -> None:
    stored: dict[str, tuple[Any, Any]] = {}
    plain: dict[str, tuple[Any, Any]] = {}
    for name, pair in random_pairs().items():
        data = [quantize(matrix, kind) for matrix, kind in zip(pair, kinds, strict=True)]
        stored[name] = tuple(map(QuantizedTensor, kinds, [matrix.shape for matrix in pair], data))  # type: ignore[assignment]
        plain[name] = tuple(map(dequantize, data, kinds))  # type: ignore[assignment]
    one, other = write_adapter(tmp_path / "a.gguf", stored), write_adapter(tmp_path / "b.gguf", plain)
    np.testing.assert_allclose(logits(model, (one, 1.0)), logits(model, (other, 1.0)), atol=1e-3)
    # Of mixed types they are added up in float32.
    both = logits(model, (one, 0.5), (other, 0.5))
    np.testing.assert_allclose(both, logits(model, (other, 1.0)), atol=1e-3)


def test_an_alpha_of_zero_leaves_the_scale_to_the_caller(model: _native.Model, tmp_path: Path) -> None:
    none = write_adapter(tmp_path / "a.gguf", random_pairs(4), alpha=0.0)
    four = write_adapter(tmp_path / "b.gguf", random_pairs(4), alpha=4.0)
    np.testing.assert_array_equal(logits(model, (none, 0.5)), logits(model, (four, 0.5)))


def test_a_scale_of_zero_is_the_model(model: _native.Model, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a.gguf", random_pairs())
    plain = model.new_session(40).prefill_logits(IDS)
    np.testing.assert_array_equal(logits(model, (adapter, 0.0)), plain)


def test_adapters_belong_to_one_model(model: _native.Model, path: Path, tmp_path: Path) -> None:
    adapter = write_adapter(tmp_path / "a.gguf", random_pairs())
    adapters = _native.Adapters.load(model, [(str(adapter), 1.0)])
    assert model.new_session(4, adapters).adapters is adapters
    assert model.new_session(4).adapters is None
    assert adapters.num_bytes > sum(a.nbytes + b.nbytes for a, b in random_pairs().values())
    other = _native.Model.load(str(path), num_threads=1)
    with pytest.raises(ValueError, match="loaded for another model"):
        other.new_session(4, adapters)
    with pytest.raises(ValueError, match="loaded for another model"):
        other.score([[1, 2]], [1], adapters)


GOOD = random_pair(64, 64)
NAME = "blk.0.attn_q.weight"
REFUSED: dict[str, tuple[dict[str, tuple[Any, Any]], dict[str, Any], str]] = {
    "a model": ({NAME: GOOD}, {"general.type": "model"}, "this is not an adapter"),
    "a control vector": ({NAME: GOOD}, {"adapter.type": "control_vector"}, "'control_vector', not 'lora'"),
    "another architecture": ({NAME: GOOD}, {"general.architecture": "qwen2"}, "'qwen2', not 'llama'"),
    "no architecture": ({NAME: GOOD}, {"general.architecture": None}, "is missing, not"),
    "no alpha": ({NAME: GOOD}, {"adapter.lora.alpha": None}, "adapter.lora.alpha is missing"),
    "NaN": ({NAME: GOOD}, {"adapter.lora.alpha": float("nan")}, "alpha is not a finite number"),
    "infinity": ({NAME: GOOD}, {"adapter.lora.alpha": float("-inf")}, "alpha is not a finite number"),
    "a text": ({NAME: GOOD}, {"adapter.lora.alpha": "16"}, "not a floating-point number"),
    "activated": ({NAME: GOOD}, {"adapter.alora.invocation_tokens": [1, 2]}, "mid-text"),
    "nothing": ({}, {}, "no tensors"),
    "half": ({NAME: (GOOD[0], None)}, {}, "attn_q.weight.lora_a is there without its lora_b"),
    "other half": ({NAME: (None, GOOD[1])}, {}, "attn_q.weight.lora_b is there without its lora_a"),
    "columns": (
        {NAME: random_pair(64, 32)},
        {},
        r"blk\.0\.attn_q\.weight\.lora_a has shape 32 x 4, but the model's blk.0.attn_q.weight is 64 x 64",
    ),
    "rows": (
        {NAME: random_pair(32, 64)},
        {},
        r"lora_b has shape 4 x 32, but the model's blk.0.attn_q.weight is 64 x 64",
    ),
    "ranks": ({NAME: (GOOD[0], random_pair(64, 64, 3)[1])}, {}, "64 x 4 and .*lora_b 3 x 64, which do not"),
    "a huge rank": ({NAME: random_pair(64, 64, 65537)}, {}, "do not have one rank up to 65536"),
    "a missing layer": ({"blk.2.attn_q.weight": GOOD}, {}, "'blk.2.attn_q.weight', which the model does not"),
    "an embedding": (
        {"token_embd.weight": random_pair(288, 64)},
        {},
        "not one of the matrices",
    ),
    "a norm": ({"blk.0.attn_norm.weight": random_pair(1, 64)}, {}, "not one of the matrices"),
    "a strange name": ({"x\n": GOOD}, {}, r"adapts 'x.x0a', which the model does not have"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_by_name(model: _native.Model, tmp_path: Path, what: str) -> None:
    pairs, metadata, message = REFUSED[what]
    path = write_adapter(tmp_path / "bad.gguf", pairs, **{"adapter.lora.alpha": 16.0, **metadata})
    with pytest.raises(ValueError, match=message) as error:
        logits(model, (path, 1.0))
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (Tensor("blk.0.attn_norm.weight"), "'blk.0.attn_norm.weight' is no part of a LoRA adapter"),
        (Tensor(f"{NAME}.lora_a", (64, 1, 2)), "lora_a is there without"),
    ],
)
def test_a_strange_tensor_is_refused(
    model: _native.Model, tmp_path: Path, tensor: Tensor, message: str
) -> None:
    path = tmp_path / "bad.gguf"
    keys = [("general.type", STRING, "adapter"), ("adapter.type", STRING, "lora")]
    keys += [("general.architecture", STRING, "llama")]
    alpha: tuple[str, int, Any] = ("adapter.lora.alpha", FLOAT32, 1.0)
    path.write_bytes(GgufBytes([*keys, alpha], [tensor], bytes(512)).pack())
    with pytest.raises(ValueError, match=message):
        logits(model, (path, 1.0))


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), 3e38])
def test_a_scale_beyond_floats_is_refused(model: _native.Model, tmp_path: Path, scale: float) -> None:
    path = write_adapter(tmp_path / "a.gguf", {NAME: GOOD})
    with pytest.raises(ValueError, match="scale asked for is"):
        logits(model, (path, scale))


def test_a_cut_file_is_refused_wherever_it_ends(model: _native.Model, tmp_path: Path) -> None:
    whole = write_adapter(tmp_path / "a.gguf", {NAME: GOOD}).read_bytes()
    for length in range(0, len(whole) - 32, 37):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"cut\.gguf"):
            logits(model, (tmp_path / "cut.gguf", 1.0))


def test_no_file_is_an_os_error(model: _native.Model) -> None:
    with pytest.raises(FileNotFoundError):
        logits(model, (Path("/nowhere.gguf"), 1.0))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_what_does_not_fit_is_refused_with_the_arithmetic(path: Path, tmp_path: Path) -> None:
    name, rank = "blk.0.ffn_down.weight", 60_000
    adapter = write_adapter(tmp_path / "big.gguf", {name: random_pair(64, 128, rank)})
    script = """
import resource, sys
from phonelm import _native
model = _native.Model.load(sys.argv[1], num_threads=1)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (60 << 20), resource.RLIM_INFINITY))
try:
    _native.Adapters.load(model, [(sys.argv[2], 1.0)])
except ValueError as error:
    print(error)
session = model.new_session(16)
session.prefill([1, 2, 3])
print(session.position)
"""
    command = [sys.executable, "-c", script, str(path), str(adapter)]
    refusal, position = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert refusal.startswith("a set of adapters needs 70 MB (weights 46, buffers 23) and this process")
    assert "take fewer or smaller adapters" in refusal
    assert position == "3"


def test_matrices_that_hold_several_take_their_rows(tmp_path: Path) -> None:
    """Phi-3 stores query, key and value as one matrix, and gate and up; Qwen-2's arithmetic is the same."""
    metadata, tensors = tiny_model("qwen2")
    stacked = {
        name: tensor
        for name, tensor in tensors.items()
        if not name.endswith(("attn_q.weight", "attn_k.weight", "attn_v.weight", "gate.weight", "up.weight"))
    }
    plain_pairs: dict[str, tuple[Any, Any]] = {}
    stacked_pairs: dict[str, tuple[Any, Any]] = {}
    for layer in range(TINY.num_layers):
        for whole, parts in {
            "attn_qkv": ("attn_q", "attn_k", "attn_v"),
            "ffn_up": ("ffn_gate", "ffn_up"),
        }.items():
            names = [f"blk.{layer}.{part}.weight" for part in parts]
            matrix = np.concatenate([tensors[name] for name in names])
            stacked[f"blk.{layer}.{whole}.weight"] = matrix
            a, b = stacked_pairs[f"blk.{layer}.{whole}.weight"] = random_pair(*matrix.shape, 6, layer)
            ends = np.cumsum([len(tensors[name]) for name in names])[:-1]
            plain_pairs |= {name: (a, rows) for name, rows in zip(names, np.split(b, ends), strict=True)}
    files = {"qwen2": (tensors, plain_pairs), "phi3": (stacked, stacked_pairs)}
    results = []
    for arch, (weights, pairs) in files.items():
        keys = {key.replace("qwen2", arch): value for key, value in metadata.items()}
        write_gguf(tmp_path / "model.gguf", {**keys, "general.architecture": arch}, weights.items())
        adapter = write_adapter(tmp_path / f"{arch}.gguf", pairs, arch)
        model = _native.Model.load(str(tmp_path / "model.gguf"), num_threads=2)
        results += [logits(model, (adapter, 1.0)), logits(model, (adapter, 1.0), alone=True)]
    np.testing.assert_allclose(results[0], results[2], atol=1e-3)
    np.testing.assert_allclose(results[1], results[3], atol=1e-3)


def tiny_model(arch: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    rng = np.random.default_rng(7)
    metadata = {**config_metadata(TINY), **byte_tokenizer_metadata(TINY.vocab_size)}
    metadata = {key.replace("llama.", f"{arch}."): value for key, value in metadata.items()}
    tensors = {}
    for tensor in model_tensors(TINY):
        scale = tensor.shape[-1] ** -0.5
        values = rng.normal(size=tensor.shape) * scale if tensor.role != "vector" else np.ones(tensor.shape)
        tensors[tensor.name] = values.astype(np.float32)
    return {**metadata, "general.architecture": arch}, tensors


def test_products_that_are_normalized_afterwards(tmp_path: Path) -> None:
    """Gemma 3 normalizes what a product gives, the adapter's share included: as with merged weights."""
    metadata, tensors = tiny_model("gemma3")
    rng = np.random.default_rng(3)
    for layer in range(TINY.num_layers):
        norms = {"attn_q_norm": 16, "attn_k_norm": 16, "post_attention_norm": 64, "post_ffw_norm": 64}
        for name, size in norms.items():
            tensors[f"blk.{layer}.{name}.weight"] = rng.uniform(0.5, 1.5, size).astype(np.float32)
    metadata["gemma3.attention.sliding_window"] = 16
    pairs = {name: pair for name, pair in random_pairs().items() if name != "output.weight"}
    merged = dict(tensors)
    for name, (a, b) in pairs.items():
        merged[name] = tensors[name] + np.float32(16 / 5) * (b @ a)
    for name, weights in {"plain": tensors, "merged": merged}.items():
        write_gguf(tmp_path / f"{name}.gguf", metadata, weights.items())
    adapter = write_adapter(tmp_path / "a.gguf", pairs, "gemma3")
    model = _native.Model.load(str(tmp_path / "plain.gguf"), num_threads=2)
    expected = _native.Model.load(str(tmp_path / "merged.gguf")).new_session(40).prefill_logits(IDS)
    assert relative_error(model.new_session(40).prefill_logits(IDS), expected) > 0.1
    np.testing.assert_allclose(logits(model, (adapter, 1.0)), expected, atol=2e-3)
    np.testing.assert_allclose(logits(model, (adapter, 1.0), alone=True), expected[-1:], atol=2e-3)
