import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from phonelm.arch import weight_bytes
from phonelm.formats import config_from_hf, convert_checkpoint, read_gguf_config
from phonelm.formats.families import by_model_type
from phonelm.formats.families.base import permute_rows
from phonelm.formats.safetensors_reader import Checkpoint

gguf = pytest.importorskip("gguf")
MakeCheckpoint = Callable[..., Path]


def read_gguf(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = gguf.GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


def llama_cpp_permute(weights: NDArray[np.float32], n_head: int) -> NDArray[np.float32]:
    """`LlamaModel.permute` of llama.cpp's convert_hf_to_gguf.py, word for word."""
    return (
        weights.reshape(n_head, 2, weights.shape[0] // n_head // 2, *weights.shape[1:])
        .swapaxes(1, 2)
        .reshape(weights.shape)
    )


@pytest.mark.parametrize("kv_heads", [2, 4])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_f32_holds_every_weight(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, kv_heads: int, tied: bool, dtype: str
) -> None:
    folder = make_checkpoint(num_key_value_heads=kv_heads, tie_word_embeddings=tied, dtype=dtype)
    out = tmp_path / "model.gguf"
    summary = convert_checkpoint(folder, out, "f32")
    fields, tensors = read_gguf(out)
    source = Checkpoint(folder)
    hf_name = by_model_type("llama").hf_name
    assert {hf_name(name) for name in tensors} == set(source)
    assert ("output.weight" in tensors) != tied
    for name, tensor in tensors.items():
        expected = source.load(hf_name(name))
        if name.endswith(("attn_q.weight", "attn_k.weight")):
            expected = llama_cpp_permute(expected, 4 if "attn_q" in name else kv_heads)
        np.testing.assert_array_equal(tensor.data, expected)
    assert fields["general.architecture"] == "llama"
    config = config_from_hf(json.loads((folder / "config.json").read_text()))
    assert read_gguf_config(out) == config
    assert summary["num_parameters"] == sum(int(np.prod(tensor.shape)) for tensor in tensors.values())
    assert summary["bits_per_weight"] == 32


@pytest.mark.parametrize(
    ("block_type", "embedding_type", "types"),
    [
        ("q4_0", None, ("Q4_0", "Q8_0")),
        ("q4_1", None, ("Q4_1", "Q8_0")),
        ("q8_0", None, ("Q8_0", "Q8_0")),
        ("f16", None, ("F16", "F16")),
        ("bf16", None, ("BF16", "BF16")),
        ("q4_0", "q4_0", ("Q4_0", "Q4_0")),
        ("Q8_0", "F16", ("Q8_0", "F16")),
    ],
)
def test_types(
    make_checkpoint: MakeCheckpoint,
    tmp_path: Path,
    block_type: str,
    embedding_type: str | None,
    types: tuple[str, str],
) -> None:
    folder, out = make_checkpoint(), tmp_path / "model.gguf"
    summary = convert_checkpoint(folder, out, block_type, embedding_type)
    _, tensors = read_gguf(out)
    for name, tensor in tensors.items():
        outer = name in ("token_embd.weight", "output.weight")
        expected = "F32" if "norm" in name else types[outer]
        assert tensor.tensor_type.name == expected
    config = read_gguf_config(out)
    total = sum(int(tensor.n_bytes) for tensor in tensors.values())
    assert total == weight_bytes(config, types[0].lower(), types[1].lower())
    assert summary["file_bytes"] == out.stat().st_size > total
    assert sum(summary["types"].values()) == len(tensors)


def test_quantized_blocks_are_those_of_the_gguf_package(
    make_checkpoint: MakeCheckpoint, tmp_path: Path
) -> None:
    folder, out = make_checkpoint(), tmp_path / "model.gguf"
    convert_checkpoint(folder, out, "q4_0")
    weights = Checkpoint(folder).load("model.layers.1.mlp.down_proj.weight")
    expected = gguf.quants.quantize(weights, gguf.GGMLQuantizationType.Q4_0)
    np.testing.assert_array_equal(read_gguf(out)[1]["blk.1.ffn_down.weight"].data, expected)


def test_odd_columns_stay_f16(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    summary = convert_checkpoint(make_checkpoint(intermediate_size=100), out, "q4_0")
    assert summary["f16_fallbacks"] == ["blk.0.ffn_down.weight", "blk.1.ffn_down.weight"]
    tensors = read_gguf(out)[1]
    assert tensors["blk.0.ffn_down.weight"].tensor_type.name == "F16"
    assert tensors["blk.0.ffn_up.weight"].tensor_type.name == "Q4_0"


def test_shards_give_the_same_weights(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    one, many = tmp_path / "one.gguf", tmp_path / "many.gguf"
    folder = make_checkpoint()
    convert_checkpoint(folder, one, "q8_0")
    (folder / "model.safetensors").unlink()
    make_checkpoint(shard="100KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 1
    convert_checkpoint(folder, many, "q8_0")
    assert one.read_bytes() == many.read_bytes()


def test_other_decoders_are_phonelm_and_not_permuted(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    folder = make_checkpoint(edit={"model_type": "phonelm", "hidden_act": "relu"})
    assert convert_checkpoint(folder, out, "f32")["architecture"] == "phonelm"
    fields, tensors = read_gguf(out)
    query = Checkpoint(folder).load("model.layers.0.self_attn.q_proj.weight")
    np.testing.assert_array_equal(tensors["blk.0.attn_q.weight"].data, query)
    kinds = ("hidden_activation", "ffn_gated", "rope.table")
    assert [fields[f"phonelm.{kind}"] for kind in kinds] == ["relu", True, "int8"]


def test_tokenizer_and_template_are_in_the_file(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder, out = make_checkpoint(), tmp_path / "model.gguf"
    convert_checkpoint(folder, out)
    fields, _ = read_gguf(out)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokens = fields["tokenizer.ggml.tokens"]
    assert len(tokens) == 300
    assert tokens[: len(tokenizer)] == tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    assert tokens[len(tokenizer)] == f"[PAD{len(tokenizer)}]"
    assert (fields["tokenizer.ggml.bos_token_id"], fields["tokenizer.ggml.eos_token_id"]) == (1, 2)
    assert fields["tokenizer.chat_template"] == tokenizer.chat_template
    assert fields["tokenizer.ggml.pre"] == "smollm"


def corrupt(folder: Path, name: str, change: Callable[[dict[str, Any], bytearray], None]) -> None:
    """Edit header and data of a tensor in model.safetensors."""
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    header, data = json.loads(raw[8 : 8 + length]), bytearray(raw[8 + length :])
    change(header, data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(data))


def test_broken_weights_are_named(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    name = "model.layers.1.mlp.up_proj.weight"

    def poison(header: dict[str, Any], data: bytearray) -> None:
        start = header[name]["data_offsets"][0]
        data[start : start + 4] = np.float32(np.nan).tobytes()

    folder = make_checkpoint()
    corrupt(folder, name, poison)
    with pytest.raises(ValueError, match=f"{name} holds numbers that are not finite"):
        convert_checkpoint(folder, tmp_path / "model.gguf")
    corrupt(folder, name, lambda header, data: header[name].update(shape=[64, 96]))
    with pytest.raises(
        ValueError, match=rf"{name} has shape \(64, 96\), but config.json asks for \(96, 64\)"
    ):
        convert_checkpoint(folder, tmp_path / "model.gguf")
    corrupt(folder, name, lambda header, data: header.update({"extra": header.pop(name)}))
    with pytest.raises(ValueError, match=f"lacks {name}"):
        convert_checkpoint(folder, tmp_path / "model.gguf")
    assert list(tmp_path.iterdir()) == [folder]


def test_a_tensor_without_a_place_is_refused(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    folder = make_checkpoint()
    bias = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
    corrupt(folder, "", lambda header, data: header.update({"model.layers.0.self_attn.q_proj.bias": bias}))
    with pytest.raises(ValueError, match=r"q_proj\.bias, which has no place"):
        convert_checkpoint(folder, tmp_path / "model.gguf")


def test_folders_that_are_no_checkpoint(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    with pytest.raises(ValueError, match="is not a folder"):
        convert_checkpoint(tmp_path / "nowhere", out)
    with pytest.raises(ValueError, match=r"has no config\.json"):
        convert_checkpoint(tmp_path, out)
    with pytest.raises(ValueError, match="unknown weight type 'q9_k'"):
        convert_checkpoint(tmp_path, out, "q9_k")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ValueError, match="not a JSON object"):
        convert_checkpoint(tmp_path, out)


def test_permutation_puts_partners_side_by_side() -> None:
    rows = np.arange(8, dtype=np.float32)[:, None]
    assert permute_rows(rows, 4)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
