"""The inputs of a model's products, as the observer hands them out, against torch's hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_graph import SHAPES, convert, random_ids, save_checkpoint

from phonelm import _native

MODULES = {
    "attention": "self_attn.q_proj",
    "attention_output": "self_attn.o_proj",
    "ffn": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
NAMES = tuple(MODULES)
NUM_TOKENS = 300  # more than a chunk of 256


def torch_inputs(model: Any, ids: list[int]) -> dict[tuple[int, str], np.ndarray]:
    """What each matrix was given, by layer and name; the head's under the number of layers."""
    seen: dict[tuple[int, str], np.ndarray] = {}

    def keep(place: tuple[int, str]) -> Any:
        def hook(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            seen[place] = inputs[0][0].numpy()

        return hook

    for index, layer in enumerate(model.model.layers):
        for name, module in MODULES.items():
            layer.get_submodule(module).register_forward_pre_hook(keep((index, name)))
    model.lm_head.register_forward_pre_hook(keep((len(model.model.layers), "head")))
    with torch.no_grad():
        model(torch.tensor([ids]))
    return seen


def native_inputs(path: Path, ids: list[int], chunk: int = 256) -> dict[tuple[int, str], np.ndarray]:
    model = _native.Model.load(str(path), num_threads=2, sparse_ffn=False)
    observer = _native.Observer(model, 0, 3, True, len(ids))
    parts: dict[tuple[int, str], list[np.ndarray]] = {}
    for start in range(0, len(ids), chunk):
        observer.run(ids[start : start + chunk], start)
        for layer in range(3):
            for name in NAMES:
                parts.setdefault((layer, name), []).append(observer.rows(layer, name))
        parts.setdefault((3, "head"), []).append(observer.head_rows())
    return {place: np.concatenate(rows) for place, rows in parts.items()}


@pytest.mark.parametrize("block_type", ["f32", "f16"])
@pytest.mark.parametrize(
    ("model_type", "settings"),
    [
        ("llama", {}),
        ("qwen3", {}),
        ("gemma3_text", {"query_pre_attn_scalar": 24, "sliding_window": 37}),
        ("phonelm", {"hidden_act": "relu", "rope_table": "float"}),
    ],
)
def test_inputs_are_those_of_torch(
    tmp_path: Path, model_type: str, settings: dict[str, Any], block_type: str
) -> None:
    context = {"max_position_embeddings": 512}
    model = save_checkpoint(tmp_path, model_type, **SHAPES["gqa"], **settings, **context)
    ids = random_ids(count=NUM_TOKENS)
    expected = torch_inputs(model, ids)
    found = native_inputs(convert(tmp_path, block_type), ids)
    assert found.keys() == expected.keys()
    for place, rows in found.items():
        assert rows.shape == expected[place].shape
        tolerance = 2e-3 * float(np.abs(expected[place]).max())
        np.testing.assert_allclose(rows, expected[place], atol=tolerance, err_msg=str(place))


def test_inputs_of_quantized_matrices_are_not_rounded(tmp_path: Path) -> None:
    """Readers of q8_0 take int8 groups; the observer has the floats they are made from."""
    save_checkpoint(tmp_path, "llama", **SHAPES["mha"], num_hidden_layers=1)
    path = convert(tmp_path, "q8_0")
    model = _native.Model.load(str(path), num_threads=2)
    observer = _native.Observer(model, 0, 1, False, 64)
    observer.run(random_ids(count=64), 0)
    rows = observer.rows(0, "attention")
    steps = np.abs(rows.reshape(64, -1, 32)).max(axis=2, keepdims=True) / 127
    distance = np.abs(rows.reshape(64, -1, 32) / steps - np.rint(rows.reshape(64, -1, 32) / steps))
    assert distance.mean() > 0.2


@pytest.mark.parametrize("chunk", [1, 7, 128])
def test_chunks_do_not_change_them(tmp_path: Path, chunk: int) -> None:
    save_checkpoint(tmp_path, "llama", **SHAPES["gqa"])
    path, ids = convert(tmp_path), random_ids(count=20)
    together, apart = native_inputs(path, ids), native_inputs(path, ids, chunk)
    for place, rows in together.items():
        np.testing.assert_allclose(apart[place], rows, atol=2e-3 * float(np.abs(rows).max()))


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "llama", **SHAPES["gqa"])
    model = _native.Model.load(str(convert(tmp_path)), num_threads=1)
    for first, count in ((-1, 1), (0, 4), (3, 1)):
        with pytest.raises(ValueError, match="has no layers"):
            _native.Observer(model, first, count, False, 16)
    with pytest.raises(ValueError, match="context length is 0"):
        _native.Observer(model, 0, 1, False, 0)
    observer = _native.Observer(model, 1, 1, False, 16)
    for ids, position in (([], 0), ([1] * 17, 0), ([1], 16), ([1], -1)):
        with pytest.raises(ValueError, match="cannot observe"):
            observer.run(ids, position)
    with pytest.raises(ValueError, match="vocabulary"):
        observer.run([10**6], 0)
    observer.run([1, 2], 0)
    with pytest.raises(ValueError, match="layer 0 is not observed"):
        observer.rows(0, "ffn")
    with pytest.raises(ValueError, match="no product has an input 'up'"):
        observer.rows(1, "up")
    with pytest.raises(ValueError, match="head's input is not observed"):
        observer.head_rows()


def test_a_model_stored_by_neurons_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32, "num_attention_heads": 4}
    save_checkpoint(tmp_path, "phonelm", hidden_act="relu", rope_table="float", **sizes)
    model = _native.Model.load(str(convert(tmp_path, "q8_0")), num_threads=1)
    with pytest.raises(ValueError, match="sparse_ffn=False"):
        _native.Observer(model, 0, 1, False, 16)
