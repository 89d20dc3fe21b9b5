import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from phonelm.arch import DecoderConfig
from phonelm.arch.tensors import model_tensors
from phonelm.cli.quantize import quantize
from phonelm.formats import TENSOR_TYPES, config_to_hf
from phonelm.formats.byte_vocabulary import byte_characters
from phonelm.formats.families import by_model_type
from phonelm.formats.mixtures import KINDS

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
    out = tmp_path / "model.gguf"
    for option in ("--type", "--embedding-type"):
        result = CliRunner().invoke(app(), [str(folder), option, "q9_k", "-o", str(out)])
        assert result.exit_code == 2
        assert "q4_0" in result.output
        assert not out.exists()


def test_the_types_are_those_that_can_be_written() -> None:
    names = set(re.split(r"[\s,()\[\]:.]+", CliRunner().invoke(app(), ["--help"]).output))
    assert {*KINDS} - {"q5_k", "q4_k", "q3_k"} <= names
    assert {name.lower() for name in TENSOR_TYPES} <= names


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_taken_in_any_case(folder: Path, tmp_path: Path, kind: str) -> None:
    out = tmp_path / "model.gguf"
    result = CliRunner().invoke(app(), [str(folder), "-t", kind.upper(), "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert out.is_file()


def test_a_gguf_file_is_quantized_and_few_bits_are_refused(folder: Path, tmp_path: Path) -> None:
    first, second, third = (tmp_path / f"{name}.gguf" for name in ("first", "second", "third"))
    assert CliRunner().invoke(app(), [str(folder), "-t", "f16", "-o", str(first)]).exit_code == 0
    result = CliRunner().invoke(app(), [str(first), "-t", "q4_k_m", "-o", str(second), "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["file_bytes"] == second.stat().st_size
    assert set(document) >= {"file", "bits_per_weight", "types"}
    refused = [str(second), "-t", "q4_0", "-o", str(third)]
    assert isinstance(CliRunner().invoke(app(), refused).exception, ValueError)
    assert CliRunner().invoke(app(), [*refused, "--allow-requantize"]).exit_code == 0


def test_an_output_that_cannot_be_written_is_found_first(folder: Path, tmp_path: Path) -> None:
    broken = folder / "model.safetensors"
    broken.write_bytes(b"")
    for out, message in ((tmp_path, "is a folder"), (broken / "model.gguf", "is a file")):
        result = CliRunner().invoke(app(), [str(folder), "-o", str(out)])
        assert message in str(result.exception)


def test_the_bytes_into_a_pipe_are_counted(folder: Path, tmp_path: Path) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "model.gguf"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()))
    reader.start()
    result = CliRunner().invoke(app(), [str(folder), "-o", str(pipe), "--json"])
    reader.join()
    assert result.exit_code == 0, result.output
    CliRunner().invoke(app(), [str(folder), "-o", str(out)])
    assert received == [out.read_bytes()]
    assert json.loads(result.stdout)["file_bytes"] == len(received[0])


def test_results_do_not_get_into_a_file_on_standard_output(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "phonelm", "quantize", str(folder), "-o"]
    out = tmp_path / "model.gguf"
    subprocess.run([*command, str(out)], check=True, capture_output=True)
    done = subprocess.run([*command, "/dev/stdout"], check=True, capture_output=True)
    assert done.stdout == out.read_bytes()
    assert b"bits per weight" in done.stderr


def write_words(path: Path, num_words: int) -> Path:
    path.write_text("the cat sat on the mat and said that this was its own hat " * (num_words // 13 + 1))
    return path


@pytest.mark.parametrize("way", ["weighted", "compensated"])
def test_importance_of_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    text, out = write_words(tmp_path / "text.txt", 400), tmp_path / "model.gguf"
    options = ["--importance", str(text), "-o", str(out), "--json"]
    result = CliRunner().invoke(app(), [str(folder), *options, *(["--compensate"] * (way == "compensated"))])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert document["calibration"][way] == 7
    assert document["calibration"]["plain"] == 1
    assert document["made"]["config"]["text"] == str(text)
    types = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(out).tensors}
    assert types["blk.0.ffn_up.weight"] == "Q4_0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--compensate"], "--importance FILE"),
        (["--calibration-tokens", "1000"], "--importance FILE"),
        (["--text", "a.txt"], "belong to --sweep"),
        (["--types", "q4_0"], "belong to --sweep"),
        (["--sweep"], "--text FILE"),
        (["--sweep", "--text", "a.txt", "--compensate", "--importance", "b.txt"], "leave --compensate out"),
        (["--sweep", "--text", "a.txt", "--embedding-type", "f16"], "takes neither"),
    ],
)
def test_options_that_would_do_nothing_are_wrong_usage(
    folder: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    result = CliRunner().invoke(
        app(), [str(folder), "-o", str(tmp_path / "out"), *options], env={"COLUMNS": "300"}
    )
    assert result.exit_code == 2
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_a_sweep_writes_table_picture_and_page(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    text, out = write_words(tmp_path / "text.txt", 40), tmp_path / "sweep"
    command = [str(folder), "--sweep", "--text", str(text), "--types", "q4_0, q8_0", "-o", str(out)]
    result = CliRunner().invoke(app(), [*command, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout.splitlines()[-1])
    assert [row["type"] for row in document["rows"]] == ["source", "q4_0", "q8_0"]
    assert document["page"] == str(out / "sweep.html")
    assert {path.name for path in out.iterdir()} == {
        "sweep.json", "sweep.csv", "sweep.png", "sweep.svg", "sweep.html"
    }  # fmt: skip
    again = CliRunner().invoke(app(), command)
    assert again.exit_code == 0
    assert again.stdout.splitlines()[-1] == str(out / "sweep.html")
