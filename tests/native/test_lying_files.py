"""Files whose fields or tensors lie about the architecture: refused by name, whatever they say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_architectures import save
from test_graph import convert

from phonelm import _native, formats
from phonelm.arch import DecoderConfig

CASES = ("gemma3", "phi3 longrope", "qwen2 yarn", "qwen3", "smollm3", "llama biases", "llama 3")
Contents = tuple[dict[str, Any], dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Contents]:
    """Metadata and tensors of small files."""
    found = {}
    for case in CASES:
        folder = tmp_path_factory.mktemp("model")
        save(folder, case)
        reader = gguf.GGUFReader(convert(folder))
        fields = {key: field.contents() for key, field in reader.fields.items() if key[:5] != "GGUF."}
        found[case] = fields, {tensor.name: np.array(tensor.data) for tensor in reader.tensors}
    return found


@pytest.fixture
def load(contents: dict[str, Contents], tmp_path: Path) -> Callable[..., Any]:
    def load_changed(
        case: str, keys: dict[str, Any] | None = None, tensors: dict[str, Any] | None = None
    ) -> _native.Model:
        """None takes a key or tensor away."""
        fields, arrays = contents[case]
        changed = {**fields, **(keys or {})}, {**arrays, **(tensors or {})}
        present = [{name: value for name, value in part.items() if value is not None} for part in changed]
        path = tmp_path / "changed.gguf"
        formats.write_gguf(path, present[0], present[1].items())
        return _native.Model.load(str(path), num_threads=1)

    return load_changed


ONES = np.ones(12, np.float32)
KEYS: list[tuple[str, dict[str, Any], str]] = [
    ("gemma3", {"gemma3.attention.sliding_window": -1}, r"attention\.sliding_window is -1"),
    ("gemma3", {"gemma3.attention.sliding_window": 2**62}, r"attention\.sliding_window is 4611"),
    ("gemma3", {"gemma3.attention.sliding_window": 1.5}, r"attention\.sliding_window' is not an integer"),
    ("gemma3", {"gemma3.attention.sliding_window_pattern": 0}, r"sliding_window_pattern is 0"),
    ("gemma3", {"gemma3.attention.sliding_window_pattern": [True] * 3}, "has 3 entries for 7 layers"),
    ("gemma3", {"gemma3.attention.sliding_window_pattern": "all"}, "sliding_window_pattern' is not an int"),
    ("gemma3", {"gemma3.rope.freq_base_swa": 0.0}, r"rope\.freq_base_swa is 0"),
    ("gemma3", {"gemma3.attn_logit_softcapping": 50.0}, "attn_logit_softcapping is set"),
    ("gemma3", {"gemma3.final_logit_softcapping": 30.0}, "final_logit_softcapping is set"),
    ("gemma3", {"gemma3.attention.causal": False}, r"attention\.causal is false"),
    ("gemma3", {"gemma3.attention.key_length": 26}, r"value_length differs from attention\.key_length"),
    ("gemma3", {"gemma3.attention.value_length": 16}, r"attention\.value_length differs"),
    ("phi3 longrope", {"phi3.rope.dimension_count": 20}, r"rope_factors_short\.weight does not have the 10"),
    ("phi3 longrope", {"phi3.rope.dimension_count": 7}, r"rope\.dimension_count is odd"),
    ("phi3 longrope", {"phi3.rope.scaling.original_context_length": 0}, "original_context_length is 0"),
    ("phi3 longrope", {"phi3.rope.scaling.attn_factor": float("nan")}, r"attn_factor is -?nan"),
    ("phi3 longrope", {"phi3.rope.scaling.type": "longrope", "phi3.rope.scaling.factor": 4.0}, "beside"),
    ("qwen2 yarn", {"qwen2.rope.scaling.type": "dynamic"}, r"rope\.scaling\.type is 'dynamic'"),
    ("qwen2 yarn", {"qwen2.rope.scaling.type": "longrope", "qwen2.rope.scaling.factor": 1.0}, "LongRoPE"),
    ("qwen2 yarn", {"qwen2.rope.scaling.factor": -4.0}, r"rope\.scaling\.factor is -4"),
    ("qwen2 yarn", {"qwen2.rope.scaling.factor": float("inf")}, r"rope\.scaling\.factor is inf"),
    ("qwen2 yarn", {"qwen2.rope.scaling.yarn_log_multiplier": 0.1}, "yarn_log_multiplier is set"),
    ("qwen2 yarn", {"qwen2.rope.freq_base": 1.0}, r"rope\.freq_base is 1"),
    ("qwen2 yarn", {"qwen2.attention.sliding_window": 64}, r"attention\.sliding_window is set"),
    ("qwen3", {"qwen3.expert_count": 8}, "expert_count is set"),
    ("qwen3", {"qwen3.attention.head_count_kv": 3}, "head_count_kv does not divide"),
    ("smollm3", {"general.architecture": "smollm4"}, "'smollm4' is not supported; take a model"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "keys", "message"), KEYS, ids=[str(list(keys)) for _, keys, _ in KEYS])
def test_a_key_that_lies(load: Callable[..., Any], case: str, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(case, keys)


TENSORS: list[tuple[str, dict[str, Any], str]] = [
    ("gemma3", {"blk.3.attn_q_norm.weight": np.ones(23, np.float32)}, "attn_q_norm.weight has shape 23 x 1"),
    ("gemma3", {"blk.3.attn_q_norm.weight": np.ones(24, np.float16)}, "attn_q_norm.weight is not F32"),
    ("gemma3", {"blk.2.post_ffw_norm.weight": None}, "blk.2.post_ffw_norm.weight is missing"),
    ("qwen3", {"blk.1.attn_k_norm.weight": None}, "blk.1.attn_k_norm.weight is missing"),
    ("qwen2 yarn", {"blk.0.attn_q.bias": np.ones(95, np.float32)}, "blk.0.attn_q.bias has shape 95 x 1"),
    (
        "qwen2 yarn",
        {"blk.0.attn_q_norm.weight": np.ones(24, np.float32)},
        "attn_q_norm.weight is not part of",
    ),
    ("qwen2 yarn", {"output.bias": np.ones(320, np.float32)}, "tensor output.bias is not part of a qwen2"),
    (
        "smollm3",
        {f"blk.{i}.extra.weight": np.ones(8, np.float32) for i in range(11)},
        r"tensors blk.0.extra.weight, blk.1.*blk.7.extra.weight and 3 more are not part of a smollm3 model",
    ),
    ("llama biases", {"blk.0.ffn_down.bias": np.ones((1, 8), np.float32)}, "ffn_down.bias has shape 8 x 1"),
    ("llama biases", {"blk.0.ffn_gate.weight": None}, "blk.0.ffn_gate.weight is missing"),
    ("phi3 longrope", {"rope_factors_long.weight": None}, "LongRoPE needs the tensors"),
    ("phi3 longrope", {"rope_factors_long.weight": ONES * 0}, "rope_factors_long.weight holds a factor"),
    ("phi3 longrope", {"rope_factors_long.weight": ONES * np.nan}, "rope_factors_long.weight holds a factor"),
    ("phi3 longrope", {"rope_factors_short.weight": ONES[:11]}, "rope_factors_short.weight does not have"),
    ("phi3 longrope", {"blk.0.attn_qkv.weight": np.ones((96, 96), np.float32)}, "attn_qkv.weight has shape"),
    ("phi3 longrope", {"blk.0.ffn_up.weight": np.ones((321, 96), np.float32)}, "ffn_gate.weight is missing"),
    (
        "llama 3",
        {"rope_freqs.weight": np.ones((12, 2), np.float32)},
        "rope_freqs.weight does not have the 12",
    ),
    ("llama 3", {"rope_freqs.weight": np.ones(12, np.float16)}, "rope_freqs.weight is not F32"),
]


@pytest.mark.parametrize(("case", "tensors", "message"), TENSORS)
def test_a_tensor_that_lies(
    load: Callable[..., Any], case: str, tensors: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        load(case, tensors=tensors)


VALUES = st.one_of(
    st.sampled_from([0, 1, 2, 3, 5, 24, 2**24, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -1]),
    st.floats(width=32),
    st.booleans(),
    st.sampled_from(["", "none", "yarn", "longrope", "relu"]),
    st.lists(st.booleans(), max_size=8),
    st.lists(st.integers(0, 4), max_size=8),
)


@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_key_may_say_anything(
    load: Callable[..., Any], contents: dict[str, Contents], data: st.DataObject
) -> None:
    """It is refused in one line, or the model runs."""
    case = data.draw(st.sampled_from(CASES))
    arch = contents[case][0]["general.architecture"]
    names = sorted(key for key in contents[case][0] if key.startswith(f"{arch}."))
    keys = {data.draw(st.sampled_from(names)): data.draw(VALUES) for _ in range(data.draw(st.integers(1, 3)))}
    try:
        model = load(case, keys)
    except ValueError as error:
        lines = str(error).splitlines()
    else:
        lines = []
    assert len(lines) <= 1
    if lines:
        return
    assert DecoderConfig.model_validate_json(model.description).vocab_size == 320
    session = model.new_session(1)
    session.prefill([5])
    assert session.logits().shape == (320,)
