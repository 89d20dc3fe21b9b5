from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonelm import load
from phonelm.arch import DecoderConfig
from phonelm.formats import convert_checkpoint, requantize_gguf, write_random_gguf
from phonelm.formats.gguf_reader import read_stored
from phonelm.formats.mixtures import KINDS

gguf = pytest.importorskip("gguf")
MakeCheckpoint = Callable[..., Path]
TINY = DecoderConfig(
    vocab_size=300, hidden_size=64, num_layers=1, num_heads=2, num_kv_heads=2, head_dim=32,
    intermediate_size=96, activation="silu", rope_table="float",
)  # fmt: skip


def tensors_of(path: Path) -> dict[str, Any]:
    return {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}


def fields_of(path: Path) -> dict[str, Any]:
    return {
        key: (field.types, field.contents())
        for key, field in gguf.GGUFReader(path).fields.items()
        if not key.startswith("GGUF.")
    }


def write_split(source: Path, folder: Path) -> list[Path]:
    """A file again in parts of four tensors, by the gguf package."""
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(folder / "model.gguf", architecture, split_max_tensors=4)
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name == "general.architecture" or field.contents() == []:
            continue
        element = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("model-*.gguf"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_that_of_the_checkpoint_and_runs(
    make_checkpoint: MakeCheckpoint, tmp_path: Path, kind: str
) -> None:
    folder = make_checkpoint(hidden_size=256, intermediate_size=288)
    exact, direct, again = (tmp_path / f"{name}.gguf" for name in ("exact", "direct", "again"))
    convert_checkpoint(folder, exact, "f32")
    summary = convert_checkpoint(folder, direct, kind)
    assert requantize_gguf(exact, again, kind)["types"] == summary["types"]
    expected, found = tensors_of(direct), tensors_of(again)
    assert list(found) == list(expected)
    for name, tensor in found.items():
        assert tensor.tensor_type == expected[name].tensor_type
        np.testing.assert_array_equal(tensor.data, expected[name].data)
    num_bytes = sum(int(tensor.n_bytes) for tensor in found.values())
    parameters = sum(int(tensor.n_elements) for tensor in found.values())
    assert summary["bits_per_weight"] == round(8 * num_bytes / parameters, 3)
    with load(again) as model, load(exact) as source:
        assert len(list(model.generate("the", max_tokens=4))) > 0
        ids = [5, 9, 33]
        assert np.corrcoef(model.logits(ids).ravel(), source.logits(ids).ravel())[0, 1] > 0.8


def test_metadata_stay_as_they_are(make_checkpoint: MakeCheckpoint, tmp_path: Path) -> None:
    source, out = tmp_path / "source.gguf", tmp_path / "out.gguf"
    convert_checkpoint(make_checkpoint(), source, "f16")
    requantize_gguf(source, out, "q4_k_m")
    before, after = fields_of(source), fields_of(out)
    assert after.pop("general.file_type")[1] == gguf.LlamaFileType.MOSTLY_Q4_K_M
    assert before.pop("general.file_type")[1] == gguf.LlamaFileType.MOSTLY_F16
    assert after == before
    assert "tokenizer.chat_template" in after


@pytest.mark.parametrize("number", [0, 1])
def test_parts_become_one_file(make_checkpoint: MakeCheckpoint, tmp_path: Path, number: int) -> None:
    source, whole, joined = (tmp_path / f"{name}.gguf" for name in ("source", "whole", "joined"))
    convert_checkpoint(make_checkpoint(), source, "f16")
    parts = write_split(source, tmp_path)
    assert len(parts) > 2
    requantize_gguf(source, whole, "q5_0")
    requantize_gguf(parts[number], joined, "q5_0")
    expected, found = tensors_of(whole), tensors_of(joined)
    assert set(found) == set(expected)
    for name, tensor in found.items():
        np.testing.assert_array_equal(tensor.data, expected[name].data)
    assert not any(key.startswith("split.") for key in fields_of(joined))
    with pytest.raises(ValueError, match="is the model that is read"):
        requantize_gguf(parts[0], parts[2], "q4_0")


def test_a_quantized_source(tmp_path: Path) -> None:
    source, out = tmp_path / "q8.gguf", tmp_path / "out.gguf"
    write_random_gguf(source, TINY, "q8_0", "q8_0")
    requantize_gguf(source, out, "q4_0")
    kinds = gguf.GGMLQuantizationType
    name = "blk.0.ffn_up.weight"
    plain = gguf.quants.dequantize(tensors_of(source)[name].data, kinds.Q8_0)
    np.testing.assert_array_equal(
        tensors_of(out)[name].data.view(np.uint8), gguf.quants.quantize(plain, kinds.Q4_0).view(np.uint8)
    )


def test_few_bits_are_not_quantized_again_unasked(tmp_path: Path) -> None:
    source, out = tmp_path / "q4.gguf", tmp_path / "out.gguf"
    write_random_gguf(source, TINY, "q4_1", "q8_0")
    with pytest.raises(ValueError, match=r"7 of Q4_1.*--allow-requantize"):
        requantize_gguf(source, out, "q5_0")
    assert not out.exists()
    requantize_gguf(source, out, "q5_0", allow_requantize=True)
    assert tensors_of(out)["blk.0.ffn_up.weight"].tensor_type.name == "Q5_0"
    # Nothing is quantized again where the type stays, or where floats are written.
    requantize_gguf(source, out, "q4_1")
    np.testing.assert_array_equal(
        tensors_of(out)["blk.0.ffn_up.weight"].data, tensors_of(source)["blk.0.ffn_up.weight"].data
    )
    requantize_gguf(source, out, "f16")
    assert tensors_of(out)["blk.0.ffn_up.weight"].tensor_type.name == "F16"


def test_what_cannot_be_read_or_written(tmp_path: Path) -> None:
    source = tmp_path / "source.gguf"
    write_random_gguf(source, TINY, "f16", "f16")
    before = source.read_bytes()
    link = tmp_path / "link.gguf"
    link.symlink_to(source)
    for same in (source, link):
        with pytest.raises(ValueError, match="is the model that is read"):
            requantize_gguf(source, same, "q8_0")
    assert source.read_bytes() == before
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(ValueError, match=r"text\.gguf"):
        requantize_gguf(tmp_path / "text.gguf", tmp_path / "out.gguf", "q8_0")
    with pytest.raises(OSError, match="nowhere"):
        requantize_gguf(tmp_path / "nowhere.gguf", tmp_path / "out.gguf", "q8_0")


def test_numbers_that_are_not_finite_are_named(tmp_path: Path) -> None:
    source, out = tmp_path / "source.gguf", tmp_path / "out.gguf"
    write_random_gguf(source, TINY, "f32", "f32")
    place = next(tensor for tensor in read_stored(source).tensors if tensor.name == "blk.0.ffn_up.weight")
    raw = bytearray(source.read_bytes())
    raw[place.offset : place.offset + 4] = np.float32(np.nan).tobytes()
    source.write_bytes(raw)
    with pytest.raises(ValueError, match=r"blk\.0\.ffn_up\.weight: holds numbers that are not finite"):
        requantize_gguf(source, out, "q4_0")
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))
