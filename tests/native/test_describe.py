"""What the core says of a file, against the decoder that its keys and tensors are meant to hold."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phonelm import _native
from phonelm.arch import DecoderConfig, RopeScaling
from phonelm.arch.tensors import model_tensors
from phonelm.formats import write_gguf

LLAMA = DecoderConfig(
    vocab_size=288,
    hidden_size=64,
    num_layers=8,
    num_heads=4,
    num_kv_heads=2,
    head_dim=16,
    intermediate_size=96,
    context_length=512,
)
KEYS: dict[str, Any] = {
    "block_count": 8,
    "context_length": 512,
    "embedding_length": 64,
    "feed_forward_length": 96,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "vocab_size": 288,
}
Describe = Callable[..., str]


@pytest.fixture
def describe(tmp_path: Path) -> Describe:
    """What the core says of a file with the tensors of `config`; None takes a key or a tensor away."""

    def described(
        config: DecoderConfig = LLAMA,
        architecture: str = "llama",
        tensors: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
        **keys: Any,
    ) -> str:
        dotted = {name.replace("__", "."): value for name, value in keys.items()}
        named = {f"{architecture}.{name}": value for name, value in {**KEYS, **dotted}.items()}
        metadata = {"general.architecture": architecture, **named, **(more or {})}
        arrays = {tensor.name: np.ones(tensor.shape, np.float32) for tensor in model_tensors(config)}
        kept = {name: value for name, value in {**arrays, **(tensors or {})}.items() if value is not None}
        path = tmp_path / "model.gguf"
        write_gguf(path, {key: value for key, value in metadata.items() if value is not None}, kept.items())
        return _native.describe(str(path))

    return described


def read(text: str) -> DecoderConfig:
    return DecoderConfig.model_validate_json(text)


def test_equal_layers_are_one(describe: Describe) -> None:
    document = json.loads(describe())
    assert [layer["repeat"] for layer in document["layers"]] == [8]
    assert read(describe()) == LLAMA


def test_what_a_file_may_leave_out(describe: Describe) -> None:
    keys = {"attention__head_count_kv": None, "attention__layer_norm_rms_epsilon": None, "vocab_size": None}
    tokens = {"tokenizer.ggml.tokens": [f"t{index}" for index in range(100)]}
    expected = LLAMA.model_copy(update={"num_kv_heads": 4, "vocab_size": 100})
    assert read(describe(more=tokens, **keys)) == expected
    # A model is loaded with its tokenizer's size.
    assert read(describe(more=tokens, vocab_size=288)).vocab_size == 100


GEMMA: dict[str, Any] = {"activation": "gelu_tanh", "qk_norm": "head", "post_norm": True}
GEMMA["scale_embedding"] = True
WINDOW = {**GEMMA, "sliding_window": 37, "sliding_rope_theta": 5000.0}
FACTORS = RopeScaling(kind="factors")
LONG = RopeScaling(kind="longrope", original_context=128, magnitude=1.5)
YARN = RopeScaling(kind="yarn", factor=4.0, original_context=512, beta_fast=16.0, beta_slow=2.0)
CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "biases": ("llama", {"bias": "all"}, {}),
    "biases of attention": ("llama", {"bias": "attention"}, {}),
    "biases of the ffn": ("llama", {"bias": "ffn"}, {}),
    "untied": ("llama", {"tie_embeddings": False}, {}),
    "head size": ("llama", {"head_dim": 24}, {"attention__key_length": 24, "attention__value_length": 24}),
    "base": ("llama", {"rope_theta": 1e6}, {"rope__freq_base": 1e6}),
    "linear": (
        "llama",
        {"rope_scaling": RopeScaling(kind="linear", factor=2.5)},
        {"rope__scaling__type": "linear", "rope__scaling__factor": 2.5},
    ),
    "linear by its older name": (
        "llama",
        {"rope_scaling": RopeScaling(kind="linear", factor=2.5)},
        {"rope__scale_linear": 2.5},
    ),
    "not scaled": ("llama", {}, {"rope__scaling__type": "none", "rope__scaling__factor": 2.5}),
    "a factor of 0": ("llama", {}, {"rope__scale_linear": 0.0}),
    "magnitude alone": (
        "llama",
        {"rope_scaling": RopeScaling(kind="linear", magnitude=1.25)},
        {"rope__scaling__attn_factor": 1.25},
    ),
    "yarn": (
        "qwen2",
        {"rope_scaling": YARN, "bias": "qkv"},
        {
            "rope__scaling__type": "yarn",
            "rope__scaling__factor": 4.0,
            "rope__scaling__yarn_beta_fast": 16.0,
            "rope__scaling__yarn_beta_slow": 2.0,
        },
    ),
    "factors": ("llama", {"rope_scaling": FACTORS}, {}),
    "plain": ("arcee", {"ffn": "plain", "activation": "relu2"}, {}),
    "heads' norms": ("qwen3", {"qk_norm": "head"}, {}),
    "every fourth does not rotate": ("smollm3", {"rope_layers": (True, True, True, False) * 2}, {}),
    "joined": ("phi3", {"fused_projections": True}, {}),
    "joined with biases": ("phi3", {"fused_projections": True, "bias": "all"}, {}),
    "part of a head": (
        "phi3",
        {"fused_projections": True, "rope_fraction": 0.375, "sliding_window": 50},
        {"rope__dimension_count": 6, "attention__sliding_window": 50},
    ),
    "no window": ("phi3", {"fused_projections": True}, {"attention__sliding_window": 0}),
    "longrope": (
        "phi3",
        {"fused_projections": True, "rope_scaling": LONG},
        {"rope__scaling__original_context_length": 128, "rope__scaling__attn_factor": 1.5},
    ),
    "gemma": ("gemma3", GEMMA, {}),
    "windows in five of six": (
        "gemma3",
        {**WINDOW, "sliding_layers": (True,) * 5 + (False, True, True)},
        {"attention__sliding_window": 37, "rope__freq_base_swa": 5000.0},
    ),
    "windows in two of three": (
        "gemma3",
        {**WINDOW, "sliding_layers": (True, True, False) * 2 + (True, True)},
        {
            "attention__sliding_window": 37,
            "rope__freq_base_swa": 5000.0,
            "attention__sliding_window_pattern": 3,
        },
    ),
    "windows by a list": (
        "gemma3",
        {**WINDOW, "sliding_layers": (False, True) * 4},
        {
            "attention__sliding_window": 37,
            "rope__freq_base_swa": 5000.0,
            "attention__sliding_window_pattern": [False, True] * 4,
        },
    ),
    "62 layers": (
        "gemma3",
        {**GEMMA, "num_layers": 62, "head_dim": 32, "attention_scale": 0.25},
        {"block_count": 62, "attention__key_length": 32, "attention__value_length": 32},
    ),
    "our own": (
        "phonelm",
        {"ffn": "plain", "activation": "relu", "rope_table": "int8"},
        {"ffn_gated": False, "hidden_activation": "relu", "rope__table": "int8"},
    ),
    "our own silu": ("phonelm", {}, {"hidden_activation": "silu"}),
}


@pytest.mark.parametrize("case", CASES)
def test_keys_and_tensors(describe: Describe, case: str) -> None:
    architecture, change, keys = CASES[case]
    config = LLAMA.model_copy(update=change)
    assert read(describe(config, architecture, **keys)) == config


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head_dim=st.integers(1, 150), share=st.floats(0, 1))
def test_every_part_of_a_head_comes_back(describe: Describe, head_dim: int, share: float) -> None:
    head_dim *= 2
    num_dims = max(2 * round(share * head_dim / 2), 2)
    sizes = {"attention__key_length": head_dim, "attention__value_length": head_dim}
    mixer = read(describe(rope__dimension_count=num_dims, **sizes)).layers[0].mixer
    assert mixer.rope is not None
    assert mixer.rope.rotated_dims(mixer.head_dim) == num_dims


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(eps=st.floats(2.0**-126, 2.0**126, width=32), theta=st.floats(2.0**-100, 2.0**100, width=32))
def test_floats_are_the_shortest_decimals(describe: Describe, eps: float, theta: float) -> None:
    config = read(describe(attention__layer_norm_rms_epsilon=eps, rope__freq_base=theta))
    rope = config.layers[0].mixer.rope
    assert rope is not None
    for found, stored in ((config.norm.eps, eps), (rope.theta, theta)):
        assert found == float(str(np.float32(stored)))


def test_usual_floats_are_written_as_people_do(describe: Describe) -> None:
    assert '"eps": 1e-05' in describe()


def test_scalings_that_have_no_common_name_become_factors(describe: Describe) -> None:
    factors = np.linspace(1.0, 4.0, 8, dtype=np.float32)
    text = describe(tensors={"rope_freqs.weight": factors}, rope__scaling__factor=2.0)
    rope = read(text).layers[0].mixer.rope
    assert rope is not None
    assert rope.scaling is not None
    assert rope.scaling.kind == "factors"
    np.testing.assert_allclose(rope.scaling.factors, 2 * factors, rtol=1e-6)


def test_long_factors_beside_others_are_told(describe: Describe) -> None:
    ones, twos, threes = (np.full(8, value, np.float32) for value in (1, 2, 3))
    tensors = {
        "rope_freqs.weight": twos,
        "rope_factors_short.weight": ones,
        "rope_factors_long.weight": threes,
    }
    rope = read(describe(tensors=tensors)).layers[0].mixer.rope
    assert rope is not None
    assert rope.scaling is not None
    assert (rope.scaling.kind, rope.scaling.original_context) == ("longrope", 512)
    np.testing.assert_allclose(rope.scaling.factors, 2 * ones, rtol=1e-6)
    np.testing.assert_allclose(rope.scaling.long_factors, 2 * threes, rtol=1e-6)


@pytest.mark.parametrize("key", ["attention.head_count", "attention.head_count_kv", "feed_forward_length"])
def test_equal_numbers_of_layers_are_one(describe: Describe, key: str) -> None:
    assert read(describe(**{key.replace(".", "__"): [KEYS[key]] * 8})) == LLAMA


BIAS = np.ones(64, np.float32)


@pytest.mark.parametrize(
    ("architecture", "tensors", "message"),
    [
        ("llama", {"blk.3.attn_q.bias": BIAS}, r"blk\.3\.attn_q and blk\.3\.attn_k one has a bias"),
        ("llama", {"blk.0.attn_output.bias": BIAS}, r"attn_output and blk\.0\.attn_q one has a bias"),
        ("llama", {"blk.7.ffn_down.bias": BIAS}, r"blk\.7\.ffn_up and blk\.7\.ffn_down one has a bias"),
        ("phonelm", {"blk.7.ffn_gate.bias": BIAS}, r"blk\.7\.ffn_up and blk\.7\.ffn_gate one has a bias"),
    ],
)
def test_biases_that_no_description_fits(
    describe: Describe, architecture: str, tensors: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        describe(LLAMA, architecture, tensors)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"expert_count": 8}, r"llama\.expert_count is set"),
        ({"attention__head_count": 0}, r"llama\.attention\.head_count is 0"),
        ({"attention__head_count_kv": [2, 1] * 4}, r"head_count_kv differs from layer to layer"),
        ({"attention__head_count_kv": [2] * 7}, r"head_count_kv has 7 entries for 8 layers"),
        ({"attention__head_count_kv": [2.0] * 8}, r"llama\.attention\.head_count_kv' is not an integer"),
        ({"attention__head_count": [0] * 8}, r"llama\.attention\.head_count is 0"),
        ({"embedding_length": [64] * 8}, r"llama\.embedding_length' is not an integer"),
        ({"attention__key_length": 0}, r"llama\.attention\.key_length is 0"),
        ({"rope__scaling__type": "su"}, r"llama\.rope\.scaling\.type is 'su'"),
        ({"attention__sliding_window": 64}, r"llama\.attention\.sliding_window is set"),
        ({"block_count": None}, r"llama\.block_count is missing"),
        ({"context_length": None}, r"llama\.context_length is missing"),
        ({"embedding_length": None}, r"llama\.embedding_length is missing"),
        ({"feed_forward_length": None}, r"llama\.feed_forward_length is missing"),
        ({"attention__head_count": None}, r"llama\.attention\.head_count is missing"),
        ({"vocab_size": None}, r"llama\.vocab_size is missing"),
        ({"vocab_size": 0}, r"llama\.vocab_size is 0"),
    ],
)
def test_keys_are_refused_by_name(describe: Describe, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        describe(**keys)


def test_other_architectures_are_refused(describe: Describe) -> None:
    with pytest.raises(ValueError, match="architecture 'mamba' is not supported"):
        describe(architecture="mamba")


def test_a_loaded_model_describes_itself(tiny_gguf: Path) -> None:
    model = _native.Model.load(str(tiny_gguf), num_threads=1)
    assert model.description == _native.describe(str(tiny_gguf))
