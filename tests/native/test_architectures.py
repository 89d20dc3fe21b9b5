"""Every architecture that files in the wild have, tiny and random, against transformers."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_graph import (
    SHAPES,
    convert,
    native_logits,
    random_ids,
    relative_error,
    save_checkpoint,
    torch_logits,
)

from phonelm import _native, formats
from phonelm.engine import load

# More than Gemma's window below, its blocks of 16 keys, and a chunk of 256 tokens.
NUM_TOKENS = 300
GQA = SHAPES["gqa"]
HEAD_DIM_24 = {"num_attention_heads": 4, "num_key_value_heads": 2}  # of the hidden size of 96
LLAMA3 = {
    "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
}  # fmt: skip
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 128,
}
LONG = {
    "rope_type": "longrope", "rope_theta": 10000.0,
    "short_factor": [1.0 + 0.05 * i for i in range(12)], "long_factor": [1.0 + 0.5 * i for i in range(12)],
}  # fmt: skip
ORIGINAL = {"original_max_position_embeddings": 128}
PARTIAL = {**LONG, "partial_rotary_factor": 0.5}
PARTIAL["short_factor"], PARTIAL["long_factor"] = LONG["short_factor"][:6], LONG["long_factor"][:6]
GEMMA = {**GQA, "num_hidden_layers": 7, "sliding_window": 37, "query_pre_attn_scalar": 24}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", HEAD_DIM_24),
    "qwen2 untied": ("qwen2", {**HEAD_DIM_24, "tie_word_embeddings": False}),
    "qwen2 yarn": ("qwen2", {**HEAD_DIM_24, "rope_parameters": YARN}),
    "qwen3": ("qwen3", GQA),
    "qwen3 mqa untied": ("qwen3", {**SHAPES["mqa"], "tie_word_embeddings": False}),
    "gemma3": ("gemma3_text", GEMMA),
    "gemma3 other scale": ("gemma3_text", {**GEMMA, "query_pre_attn_scalar": 40}),
    "gemma3 other pattern": ("gemma3_text", {**GEMMA, "sliding_window_pattern": 3, "num_hidden_layers": 4}),
    "gemma3 window of one block": ("gemma3_text", {**GEMMA, "sliding_window": 16, "num_hidden_layers": 2}),
    "gemma3 window of one token": ("gemma3_text", {**GEMMA, "sliding_window": 1, "num_hidden_layers": 2}),
    "gemma3 linear": (
        "gemma3_text",
        {
            **GEMMA,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
            },
        },
    ),
    "phi3": ("phi3", HEAD_DIM_24),
    "phi3 window": ("phi3", {**HEAD_DIM_24, "sliding_window": 50, "tie_word_embeddings": False}),
    "phi3 longrope": ("phi3", {**HEAD_DIM_24, **ORIGINAL, "rope_parameters": LONG}),
    "phi3 partial longrope": ("phi3", {**HEAD_DIM_24, **ORIGINAL, "rope_parameters": PARTIAL}),
    "smollm3": ("smollm3", {**HEAD_DIM_24, "num_hidden_layers": 5}),
    "arcee": ("arcee", {**GQA, "tie_word_embeddings": False}),
    "llama 3": ("llama", {**GQA, "rope_parameters": LLAMA3}),
    "llama linear": ("llama", {**GQA, "rope_parameters": {"rope_type": "linear", "factor": 2.5}}),
    "llama yarn": ("llama", {**GQA, "rope_parameters": YARN}),
    "llama biases": ("llama", {**GQA, "attention_bias": True, "mlp_bias": True}),
}
ARCHITECTURES = {"gemma3_text": "gemma3"}


def save(folder: Path, case: str) -> Any:
    model_type, settings = CASES[case]
    # Weights large enough for attention that tells one position from another.
    common = {"max_position_embeddings": 512, "pad_token_id": 0, "initializer_range": 0.08}
    return save_checkpoint(folder, model_type, **{**common, **settings})


def with_half_cache(model: Any, ids: list[int], monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Logits of transformers with keys and values rounded to fp16, as the cache keeps them."""
    module = importlib.import_module(type(model).__module__)
    attend = module.eager_attention_forward

    def rounded(layer: Any, query: Any, key: Any, value: Any, *rest: Any, **options: Any) -> Any:
        return attend(layer, query, key.half().float(), value.half().float(), *rest, **options)

    model.set_attn_implementation("eager")
    with monkeypatch.context() as patch:
        patch.setattr(module, "eager_attention_forward", rounded)
        return torch_logits(model, ids)


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save(tmp_path, case)
    path = convert(tmp_path)
    ids = random_ids(count=NUM_TOKENS)
    session = _native.Model.load(str(path)).new_session(NUM_TOKENS)
    logits = session.prefill_logits(ids)
    np.testing.assert_allclose(logits, with_half_cache(model, ids, monkeypatch), atol=1e-3)
    assert relative_error(logits, torch_logits(model, ids)) < 1e-3
    model_type = CASES[case][0]
    metadata = _native.read_metadata(str(path))
    assert metadata["general.architecture"] == ARCHITECTURES.get(model_type, model_type)


@pytest.mark.parametrize(
    "settings",
    [
        {"mscale": 0.7},
        {"mscale": 3.0, "mscale_all_dim": 1.0},
        {"attention_factor": 1.6, "mscale_all_dim": 1.0},
    ],
)
def test_what_yarn_scales_cos_and_sin_by(tmp_path: Path, settings: dict[str, Any]) -> None:
    rope = {**YARN, **settings}
    common = {"max_position_embeddings": 512, "initializer_range": 0.08, **GQA}
    model = save_checkpoint(tmp_path, "llama", rope_parameters=rope, **common)
    ids = random_ids(count=NUM_TOKENS)
    session = _native.Model.load(str(convert(tmp_path))).new_session(NUM_TOKENS)
    assert relative_error(session.prefill_logits(ids), torch_logits(model, ids)) < 1e-3


@pytest.mark.parametrize("case", ["qwen2", "qwen3", "gemma3", "phi3 window", "phi3 longrope", "smollm3"])
def test_one_by_one_equals_all_at_once(tmp_path: Path, case: str) -> None:
    save(tmp_path, case)
    model = _native.Model.load(str(convert(tmp_path)), num_threads=3)
    ids = random_ids(count=150)
    expected = model.new_session(160).prefill_logits(ids)
    session = model.new_session(160)
    for token, logits in zip(ids, expected, strict=True):
        session.prefill([token])
        np.testing.assert_allclose(session.logits(), logits, atol=1e-3)


def test_a_short_context_takes_the_short_factors(tmp_path: Path) -> None:
    """LongRoPE is chosen by how long a sequence may grow: the session's context."""
    model = save(tmp_path, "phi3 longrope")
    native = _native.Model.load(str(convert(tmp_path)))
    ids = random_ids(count=100)
    expected = torch_logits(model, ids)
    assert relative_error(native.new_session(128).prefill_logits(ids), expected) < 1e-3
    assert relative_error(native.new_session(129).prefill_logits(ids), expected) > 0.02


@pytest.mark.parametrize("case", ["gemma3", "phi3 longrope"])
def test_scores_are_those_of_sessions(tmp_path: Path, case: str) -> None:
    """Sequences that share a pass have windows and ropes of their own."""
    save(tmp_path, case)
    model = _native.Model.load(str(convert(tmp_path)))
    sequences = [random_ids(seed, count) for seed, count in enumerate((20, 200, 75))]
    scores = model.score(sequences, [len(ids) - 1 for ids in sequences])
    for ids, (score, _) in zip(sequences, scores, strict=True):
        logits = model.new_session(len(ids) - 1).prefill_logits(ids[:-1]).astype(np.float64)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        assert score == pytest.approx(sum(logits[i, token] for i, token in enumerate(ids[1:])), abs=1e-2)


@pytest.mark.parametrize("isa", _native.cpu_info()["isas"])
@pytest.mark.parametrize("case", ["gemma3", "llama biases"])
def test_every_instruction_set(tmp_path: Path, case: str, isa: str) -> None:
    model = save(tmp_path, case)
    ids = random_ids()
    assert relative_error(native_logits(convert(tmp_path), ids, isa), torch_logits(model, ids)) < 1e-3


@pytest.mark.parametrize("case", CASES)
def test_configuration_there_and_back(tmp_path: Path, case: str) -> None:
    """What a GGUF file says of a model is what config.json says; factors that are tensors stay there."""
    save(tmp_path, case)
    document = json.loads((tmp_path / "config.json").read_text())
    config = formats.config_from_hf(document)
    path = convert(tmp_path)
    found = formats.read_gguf_config(path)
    assert load(path, num_threads=1).config == found
    layers = [
        # The scale has gone into a norm.
        layer.model_copy(update={"mixer": layer.mixer.model_copy(update={"scale": None})})
        for layer in config.layers
    ]
    for index, layer in enumerate(layers):
        rope, other = layer.mixer.rope, found.layers[index].mixer.rope
        if rope and rope.scaling and rope.scaling.factors:
            layers[index] = layer.model_copy(update={"mixer": layer.mixer.model_copy(update={"rope": other})})
    assert found == config.model_copy(update={"layers": layers})
