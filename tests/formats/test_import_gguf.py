from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from phonelm.arch import DecoderConfig
from phonelm.formats import TENSOR_TYPES, import_gguf, write_gguf, write_random_gguf
from phonelm.formats.byte_vocabulary import byte_tokenizer_metadata
from phonelm.formats.families import by_architecture
from phonelm.formats.families.base import permute_rows, restore_rows
from phonelm.formats.gguf_config import config_metadata
from phonelm.formats.safetensors_reader import Checkpoint
from shapes import TINY

WIDE = TINY.model_copy(update={"hidden_size": 256, "intermediate_size": 256, "num_layers": 1, "head_dim": 64})


def stored_tensors(path: Path) -> dict[str, np.ndarray]:
    """The tensors of a GGUF file as the gguf package decodes them."""
    return {
        tensor.name: gguf.dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape.tolist()[::-1])
        for tensor in gguf.GGUFReader(path).tensors
    }


@pytest.mark.parametrize("block_type", TENSOR_TYPES)
def test_weights_are_those_that_the_gguf_package_decodes(tmp_path: Path, block_type: str) -> None:
    path, folder = tmp_path / "model.gguf", tmp_path / "folder"
    write_random_gguf(path, WIDE, block_type=block_type.lower(), embedding_type=block_type.lower(), seed=3)
    summary = import_gguf(path, folder)
    found, family = Checkpoint(folder), by_architecture(summary["architecture"])
    assert family is not None
    expected = stored_tensors(path)
    assert {family.hf_name(name) for name in expected} == set(found)
    for name, values in expected.items():
        if family.interleaves_rows and name.split(".")[-2] in ("attn_q", "attn_k"):
            # As transformers' `LlamaTensorProcessor._reverse_permute_weights`.
            heads = len(values) // WIDE.layers[0].mixer.head_dim
            values = values.reshape(heads, -1, 2, values.shape[-1]).swapaxes(1, 2).reshape(values.shape)
        np.testing.assert_allclose(found.load(family.hf_name(name)), values, rtol=1e-6, err_msg=name)
    assert summary["weight_bytes"] == 4 * sum(values.size for values in expected.values())


@pytest.mark.parametrize("shape", [(96, 5), (96,)])
def test_rows_come_back(shape: tuple[int, ...]) -> None:
    rows = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(restore_rows(permute_rows(rows, 24), 24), rows)


def test_the_folder_is_told_and_new(tmp_path: Path, tiny_gguf: Path) -> None:
    (tmp_path / "folder").mkdir()
    summary = import_gguf(tiny_gguf, tmp_path / "folder", "bfloat16")
    assert sorted(path.name for path in (tmp_path / "folder").iterdir()) == summary["files"]
    assert (summary["dtype"], summary["model_type"]) == ("bfloat16", "llama")
    assert not list(tmp_path.glob(".*"))
    with pytest.raises(ValueError, match="is not empty; name a new folder"):
        import_gguf(tiny_gguf, tmp_path / "folder")
    with pytest.raises(ValueError, match="is a file"):
        import_gguf(tiny_gguf, tiny_gguf)
    with pytest.raises(ValueError, match="unknown dtype 'int8'"):
        import_gguf(tiny_gguf, tmp_path / "other", "int8")
    assert not (tmp_path / "other").exists()


def write_model(path: Path, config: DecoderConfig = TINY, weight: float = 1.0, **keys: Any) -> Path:
    from phonelm.arch.tensors import model_tensors

    metadata = {**config_metadata(config), **byte_tokenizer_metadata(config.vocab_size), **keys}
    tensors = {tensor.name: np.full(tensor.shape, weight, np.float32) for tensor in model_tensors(config)} | {
        name: metadata.pop(name) for name in list(metadata) if isinstance(metadata[name], np.ndarray)
    }
    write_gguf(path, metadata, tensors.items())
    return path


def test_what_cannot_be_imported_is_named(tmp_path: Path) -> None:
    folder, path = tmp_path / "folder", tmp_path / "model.gguf"
    with pytest.raises(ValueError, match="'mamba' is not supported"):
        import_gguf(write_model(path, **{"general.architecture": "mamba"}), folder)
    more = {"blk.0.attn_gate.weight": np.ones((4, 4), np.float32)}
    with pytest.raises(ValueError, match=r"holds blk\.0\.attn_gate\.weight, which has no place"):
        import_gguf(write_model(path, **more), folder)
    wide = {"output_norm.weight": np.ones(32, np.float32)}
    with pytest.raises(ValueError, match=r"output_norm\.weight has shape \(32,\)"):
        import_gguf(write_model(path, **wide), folder)
    with pytest.raises(ValueError, match=r"model\.embed_tokens\.weight .*not finite.*; take bfloat16"):
        import_gguf(write_model(path, weight=1e6), folder, "float16")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.gguf"]


def test_a_missing_part_is_named(tmp_path: Path, tiny_gguf: Path) -> None:
    part = tmp_path / "model-00001-of-00002.gguf"
    write_model(part, **{"split.no": 0, "split.count": 2, "split.tensors.count": 30})
    with pytest.raises((OSError, ValueError), match="model-00002-of-00002"):
        import_gguf(part, tmp_path / "folder")


def test_room_is_looked_at_first(tmp_path: Path, tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match=r"folder needs .* of disk, and .* has 1.0 kB left"):
        import_gguf(tiny_gguf, tmp_path / "folder")
    assert not list(tmp_path.iterdir())
