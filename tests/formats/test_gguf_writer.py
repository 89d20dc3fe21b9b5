from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from phonelm.formats import LazyTensor, QuantizedTensor, quantize, write_gguf

gguf = pytest.importorskip("gguf")

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=32, allow_nan=False),
    st.text(alphabet=st.characters(codec="utf-8")),
)
LISTS = st.one_of(
    st.lists(st.booleans(), min_size=1),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1),
    st.lists(st.text(alphabet=st.characters(codec="utf-8")), min_size=1),
)


def read_back(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    reader = gguf.GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    return fields, {tensor.name: tensor for tensor in reader.tensors}


@given(st.dictionaries(st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}", fullmatch=True), SCALARS | LISTS, max_size=6))
def test_the_gguf_package_reads_the_metadata(tmp_path_factory: Any, metadata: dict[str, Any]) -> None:
    path = tmp_path_factory.mktemp("gguf") / "a.gguf"
    write_gguf(path, metadata, [])
    fields, _ = read_back(path)
    assert fields == {"general.alignment": 32, **metadata}


def test_the_gguf_package_reads_the_tensors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((5, 64), dtype=np.float32)
    norm = rng.standard_normal(7, dtype=np.float32)
    packed = quantize(matrix, "Q4_0")
    write_gguf(
        tmp_path / "a.gguf",
        {"general.architecture": "llama"},
        [
            ("norm", norm),
            ("half", matrix.astype(np.float16)),
            ("packed", QuantizedTensor("q4_0", (5, 64), packed)),
            ("lazy", LazyTensor("Q8_0", (5, 64), lambda: quantize(matrix, "Q8_0"))),
        ],
    )
    _, tensors = read_back(tmp_path / "a.gguf")
    np.testing.assert_array_equal(tensors["norm"].data, norm)
    np.testing.assert_array_equal(tensors["half"].data, matrix.astype(np.float16))
    np.testing.assert_array_equal(tensors["packed"].data, packed)
    np.testing.assert_array_equal(tensors["lazy"].data, quantize(matrix, "Q8_0"))
    assert list(tensors["packed"].shape) == [64, 5]
    assert all(tensor.data_offset % 32 == 0 for tensor in tensors.values())


def test_a_lazy_tensor_is_made_after_the_one_before_is_written(tmp_path: Path) -> None:
    alive: list[str] = []

    def make(name: str) -> NDArray[np.uint8]:
        alive.append(name)
        return np.zeros(128, np.uint8)

    tensors = [(name, LazyTensor("F32", (32,), lambda name=name: make(name))) for name in "abc"]  # type: ignore[misc]
    write_gguf(tmp_path / "a.gguf", {}, tensors)
    assert alive == ["a", "b", "c"]


def test_a_failure_leaves_nothing_and_names_the_tensor(tmp_path: Path) -> None:
    def broken() -> NDArray[np.uint8]:
        raise ValueError("holds NaN")

    with pytest.raises(ValueError, match=r"^blk\.0\.ffn_up\.weight: holds NaN"):
        write_gguf(tmp_path / "a.gguf", {}, [("blk.0.ffn_up.weight", LazyTensor("F32", (4,), broken))])
    with pytest.raises(ValueError, match="short: 3 bytes, but F32"):
        write_gguf(tmp_path / "a.gguf", {}, [("short", QuantizedTensor("F32", (4,), np.zeros(3, np.uint8)))])
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_survives_a_failure(tmp_path: Path) -> None:
    write_gguf(tmp_path / "a.gguf", {"a.b": 1}, [])
    before = (tmp_path / "a.gguf").read_bytes()
    with pytest.raises(ValueError, match="cannot be stored"):
        write_gguf(tmp_path / "a.gguf", {}, [("x", np.zeros(3))])  # type: ignore[list-item]
    assert (tmp_path / "a.gguf").read_bytes() == before


@pytest.mark.parametrize("value", [None, {"a": 1}, [1, "a"], [None], [[1]]])
def test_values_that_gguf_cannot_hold_are_refused(tmp_path: Path, value: Any) -> None:
    with pytest.raises(ValueError, match=r"metadata 'a\.b'"):
        write_gguf(tmp_path / "a.gguf", {"a.b": value}, [])
