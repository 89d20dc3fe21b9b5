from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from phonelm.formats.gguf_writer import LazyTensor
from phonelm.formats.quantization import quantize
from phonelm.formats.safetensors_reader import Checkpoint
from phonelm.formats.safetensors_writer import write_checkpoint

SHAPES = {"a.weight": (4, 3), "b.bias": (5,), "c.weight": (2, 8), "d.weight": (1, 1)}


def values_of(name: str) -> np.ndarray:
    return np.random.default_rng(len(name)).standard_normal(SHAPES[name]).astype(np.float32)


def lazy(name: str, dtype: str) -> LazyTensor:
    return LazyTensor(dtype, SHAPES[name], lambda: quantize(values_of(name), dtype))


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("shard_bytes", [1 << 30, 60, 1])
def test_the_safetensors_package_reads_it(tmp_path: Path, dtype: str, shard_bytes: int) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    torch = pytest.importorskip("torch")
    names = write_checkpoint(tmp_path, {name: lazy(name, dtype) for name in SHAPES}, {"k": "v"}, shard_bytes)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    found = {}
    for path in tmp_path.glob("*.safetensors"):
        found |= safetensors.load_file(path)
        with safetensors.safe_open(path, "pt") as file:
            assert file.metadata() == {"format": "pt", "k": "v"}
    torch_type = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[dtype]
    ours = Checkpoint(tmp_path)
    assert set(found) == set(ours) == set(SHAPES)
    for name, tensor in found.items():
        assert torch.equal(tensor, torch.from_numpy(values_of(name)).to(torch_type))
        np.testing.assert_array_equal(ours.load(name), tensor.float().numpy())


def test_files_are_of_bounded_size_but_for_a_larger_tensor(tmp_path: Path) -> None:
    names = write_checkpoint(tmp_path, {name: lazy(name, "F32") for name in SHAPES}, {}, 60)
    assert names[0] == "model-00001-of-00004.safetensors"
    index = json.loads((tmp_path / names[-1]).read_text())
    assert index["metadata"]["total_size"] == 4 * (12 + 5 + 16 + 1)
    assert [int(file[6:11]) for file in index["weight_map"].values()] == [1, 2, 3, 4]
    sizes = [path.stat().st_size for path in sorted(tmp_path.glob("*.safetensors"))]
    assert max(sizes) == sizes[2]


def test_a_tensor_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    def fail() -> np.ndarray:
        raise ValueError("has numbers that are not finite")

    with pytest.raises(ValueError, match=r"a\.weight has numbers"):
        write_checkpoint(tmp_path, {"a.weight": LazyTensor("F32", (4, 3), fail)}, {})
