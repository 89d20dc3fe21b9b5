"""What `inspect` tells of a file, compared with the `gguf` package and with a loaded model."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_bytes import ARRAY, STRING, UINT32, GgufBytes, Tensor
from hypothesis import given
from hypothesis import strategies as st

from phonelm.engine import load
from phonelm.engine.inspection import inspect
from phonelm.formats import write_gguf
from phonelm.formats.gguf_header import WEIGHT_TYPES, read_header


def test_the_types_are_those_of_the_gguf_package() -> None:
    for number, (name, block, num_bytes) in WEIGHT_TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (block, num_bytes))


def test_the_header_is_what_the_gguf_package_reads(tiny_gguf: Path) -> None:
    theirs = gguf.GGUFReader(tiny_gguf)
    ours = read_header(tiny_gguf)
    values = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert ours.metadata == values
    assert [(one.name, one.type, one.num_weights, one.num_bytes, one.shape) for one in ours.tensors] == [
        (one.name, one.tensor_type.name, one.n_elements, one.n_bytes, tuple(one.shape.tolist()))
        for one in theirs.tensors
    ]


def test_a_model_is_told_as_it_is_loaded(tiny_gguf: Path) -> None:
    told = inspect(tiny_gguf)
    runtime = told["runtime"]
    with load(tiny_gguf, num_threads=1) as model:
        assert runtime["loads"]
        assert runtime["layers"] == model.config.num_layers
        assert runtime["context_length"] == model.context_length
        assert runtime["vocab_size"] == model.tokenizer.vocab_size
        for kind, num_bytes in runtime["kv_bytes_per_token"].items():
            assert num_bytes * 32 == model.native.kv_bytes(32, kind)
        assert runtime["memory_bytes"] == model.native.weight_bytes
        assert told["tokenizer"]["stop_ids"] == sorted(model.tokenizer.stop_ids)
    assert told["kind"] == "model"
    assert told["num_parameters"] == sum(int(t.n_elements) for t in gguf.GGUFReader(tiny_gguf).tensors)


def test_a_refused_model_is_told_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    keys = {"general.architecture": "mamba", "mamba.block_count": 7, "mamba.context_length": 99}
    write_gguf(path, keys, [("token_embd.weight", np.ones((4, 64), np.float32))])
    runtime = inspect(path)["runtime"]
    assert (runtime["loads"], runtime["layers"], runtime["context_length"]) == (False, 7, 99)
    assert "mamba" in runtime["reason"]


def test_a_missing_tensor_is_a_reason(tiny_gguf: Path, tmp_path: Path) -> None:
    path = tmp_path / "less.gguf"
    path.write_bytes(tiny_gguf.read_bytes().replace(b"output_norm.weight", b"output_nurm.weight", 1))
    assert "output_norm.weight" in inspect(path)["runtime"]["reason"]


def test_a_type_of_weights_that_the_runtime_has_not(tmp_path: Path) -> None:
    path = tmp_path / "new.gguf"
    file = GgufBytes(
        [("general.architecture", STRING, "llama")], [Tensor(dims=(256, 2), kind=16)], bytes(132)
    )
    path.write_bytes(file.pack())
    told = inspect(path)
    assert told["types"] == {"IQ2_XXS": 1}
    assert told["weight_bytes"] == 132
    assert told["bits_per_weight"] == 2.062
    assert not told["runtime"]["loads"]


def test_an_adapter_and_a_vocabulary_are_told_as_such(tmp_path: Path) -> None:
    adapter = tmp_path / "adapter.gguf"
    keys = {"general.architecture": "llama", "adapter.type": "lora", "adapter.lora.alpha": 16.0}
    pair = [
        ("blk.0.attn_q.weight.lora_a", np.ones((4, 64), np.float32)),
        ("blk.0.attn_q.weight.lora_b", np.ones((64, 4), np.float32)),
    ]
    write_gguf(adapter, {"general.type": "adapter", **keys}, pair)
    told = inspect(adapter)
    assert told["kind"] == "adapter"
    assert told["adapter"] == {"type": "lora", "alpha": 16.0, "ranks": [4], "num_matrices": 1}
    assert "is an adapter, not a model" in told["runtime"]["reason"]
    vocabulary = tmp_path / "vocabulary.gguf"
    vocabulary.write_bytes(GgufBytes([("tokenizer.ggml.tokens", ARRAY, (STRING, ["a", "b"]))]).pack())
    assert inspect(vocabulary)["kind"] == "vocabulary"


def test_parts_are_told_together_and_a_missing_one_is_a_reason(tiny_gguf: Path, tmp_path: Path) -> None:
    names = [f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    for number, name in enumerate(names):
        split = [("split.no", UINT32, number), ("split.count", UINT32, 2)]
        keys = [("general.architecture", STRING, "llama"), *split]
        (tmp_path / name).write_bytes(GgufBytes(keys, [Tensor(f"t{number}")], bytes(32)).pack())
    told = inspect(tmp_path / names[1])
    assert [tensor["name"] for tensor in told["tensors"]] == ["t0", "t1"]
    assert len(told["files"]) == 2
    (tmp_path / names[0]).unlink()
    told = inspect(tmp_path / names[1])
    assert told["num_tensors"] == 1
    assert names[0] in told["runtime"]["reason"]


@given(st.data())
def test_a_damaged_header_is_one_line(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    keys = [("general.architecture", STRING, "llama"), ("a", ARRAY, (STRING, ["x", "y"])), ("b", UINT32, 3)]
    content = bytearray(GgufBytes(keys, [Tensor()], bytes(32)).pack())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damaged") / "a.gguf"
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        inspect(path)
    except ValueError as refused:
        message = str(refused)
    else:
        message = ""
    shutil.rmtree(path.parent)
    assert "\n" not in message
    assert message.isprintable()
