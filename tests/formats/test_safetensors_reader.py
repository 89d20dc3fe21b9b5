import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phonelm.formats.safetensors_reader import Checkpoint, SafetensorsFile


def write(path: Path, header: Any, data: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data)
    return path


def entry(dtype: str, shape: list[int], begin: int, end: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_reads_what_the_safetensors_package_writes(tmp_path: Path, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensors = {"a": torch.randn(5, 7), "b": torch.randn(3), "odd": torch.randn(1, 1)}
    tensors = {name: tensor.to(getattr(torch, dtype)) for name, tensor in tensors.items()}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    checkpoint = Checkpoint(tmp_path)
    assert set(checkpoint) == {"a", "b", "odd"}
    for name, tensor in tensors.items():
        assert checkpoint[name] == tuple(tensor.shape)
        np.testing.assert_array_equal(checkpoint.load(name), tensor.float().numpy())


def test_reads_shards(tmp_path: Path) -> None:
    write(tmp_path / "1.safetensors", {"a": entry("F32", [2], 0, 8)}, np.array([1, 2], np.float32).tobytes())
    write(tmp_path / "2.safetensors", {"b": entry("F16", [1], 0, 2)}, np.array([3], np.float16).tobytes())
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}))
    checkpoint = Checkpoint(tmp_path)
    assert [checkpoint.load(name).tolist() for name in ("a", "b")] == [[1, 2], [3]]
    (tmp_path / "2.safetensors").unlink()
    with pytest.raises(FileNotFoundError):
        Checkpoint(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "../1.safetensors"}}))
    with pytest.raises(ValueError, match="outside its folder"):
        Checkpoint(tmp_path)
    index.write_text("[]")
    with pytest.raises(ValueError, match="no weight_map"):
        Checkpoint(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no model\.safetensors"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"", b"", "not a whole safetensors"),
        (b"{nonsense}", b"", "not a whole safetensors"),
        (b"[1, 2]", b"", "not a whole safetensors"),
        (b"\xff\xfe{}", b"", "not a whole safetensors"),
        ({"a": entry("F32", [4], 0, 16)}, b"1234", "truncated or corrupt at tensor 'a'"),
        ({"a": entry("F32", [4], 16, 0)}, bytes(16), "truncated or corrupt"),
        ({"a": entry("F32", [-4], 0, 16)}, bytes(16), "truncated or corrupt"),
        ({"a": entry("F32", [3], 0, 16)}, bytes(16), "has 16 bytes for shape"),
        ({"a": {"dtype": "F32", "shape": [4]}}, bytes(16), "truncated or corrupt"),
        ({"a": 5}, bytes(16), "truncated or corrupt"),
        ({"a": {"dtype": ["F32"], "shape": [4], "data_offsets": [0, 16]}}, bytes(16), "truncated or corrupt"),
        ({"a": {"dtype": "F32", "shape": 4, "data_offsets": [0, 16]}}, bytes(16), "truncated or corrupt"),
        ({"a": {"dtype": "F32", "shape": [4], "data_offsets": "01"}}, bytes(16), "truncated or corrupt"),
    ],
)
def test_corrupt_headers_are_refused(tmp_path: Path, header: Any, data: bytes, message: str) -> None:
    path = write(tmp_path / "model.safetensors", header, data)
    with pytest.raises(ValueError, match=message):
        SafetensorsFile(path)


def test_a_header_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for raw in (b"", b"1234", struct.pack("<Q", 2**62), struct.pack("<Q", 100) + b"{}"):
        path.write_bytes(raw)
        with pytest.raises(ValueError, match="not a whole safetensors"):
            SafetensorsFile(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 119), st.integers(0, 255))
def test_any_changed_byte_is_refused_or_harmless(tmp_path: Path, position: int, value: int) -> None:
    header = {"a": entry("F32", [2, 3], 0, 24), "b": entry("BF16", [2], 24, 28)}
    path = write(tmp_path / "model.safetensors", header, bytes(28))
    raw = bytearray(path.read_bytes())
    raw[position % len(raw)] = value
    path.write_bytes(raw)
    try:
        file = SafetensorsFile(path)
        for name in file.names():
            assert file.load(name).shape == file.shape(name)
    except ValueError as error:
        assert str(error)  # noqa: PT017


def test_other_types_are_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"a": entry("I64", [1], 0, 8)}, bytes(8))
    with pytest.raises(ValueError, match="a has type I64; save the checkpoint as F32"):
        SafetensorsFile(path).load("a")
