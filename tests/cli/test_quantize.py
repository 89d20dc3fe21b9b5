import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from phonelm.arch import DecoderConfig
from phonelm.arch.tensors import model_tensors
from phonelm.cli.quantize import quantize
from phonelm.formats import config_to_hf
from phonelm.formats.byte_vocabulary import byte_characters
from phonelm.formats.families import by_model_type

gguf = pytest.importorskip("gguf")
safetensors = pytest.importorskip("safetensors.numpy")

CONFIG = DecoderConfig(
    vocab_size=260, hidden_size=64, num_layers=1, num_heads=2, num_kv_heads=2, head_dim=32,
    intermediate_size=96, activation="relu", rope_table="int8",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    import numpy as np

    path = tmp_path / "checkpoint"
    path.mkdir()
    rng = np.random.default_rng(0)
    hf_name = by_model_type("llama").hf_name
    weights = {hf_name(t.name): rng.standard_normal(t.shape, dtype=np.float32) for t in model_tensors(CONFIG)}
    safetensors.save_file(weights, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(config_to_hf(CONFIG)))
    vocab = {text: index for index, text in enumerate(byte_characters())}
    pre_tokenizer = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
    tokenizer = {"model": {"type": "BPE", "vocab": vocab, "merges": []}, "pre_tokenizer": pre_tokenizer}
    (path / "tokenizer.json").write_text(json.dumps(tokenizer))
    return path


def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(quantize)
    return made


def test_one_json_document_last_on_stdout(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    result = CliRunner().invoke(app(), [str(folder), "--type", "q8_0", "-o", str(out), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["file_bytes"] == out.stat().st_size
    assert document["architecture"] == "phonelm"
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(out).tensors}
    assert types["blk.0.ffn_up.weight"] == "Q8_0"


def test_the_default_is_four_bits(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.gguf"
    result = CliRunner().invoke(app(), [str(folder), "-o", str(out), "--embedding-type", "f16"])
    assert result.exit_code == 0, result.output
    assert "bits per weight" in result.stdout
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(out).tensors}
    assert (types["blk.0.ffn_up.weight"], types["token_embd.weight"]) == ("Q4_0", "F16")


def test_an_unknown_type_is_wrong_usage(folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app(), [str(folder), "--type", "q3_k", "-o", str(tmp_path / "model.gguf")])
    assert result.exit_code == 2
    assert not (tmp_path / "model.gguf").exists()
