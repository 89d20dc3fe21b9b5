"""What does not fit into the memory is refused, with the arithmetic, before any of it is allocated."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from gguf_bytes import ARRAY, BOOL, F32, FLOAT32, INT32, Q8_0, STRING, UINT32, GgufBytes, Tensor
from machine_files import write_machine

from phonelm import _native
from phonelm.arch import DecoderConfig
from phonelm.arch.arithmetic import tensor_bytes
from phonelm.arch.tensors import model_tensors
from phonelm.engine import load
from phonelm.formats import write_random_gguf
from phonelm.formats.byte_vocabulary import byte_tokenizer_metadata
from phonelm.formats.gguf_config import config_metadata

GB = 1_000_000_000
MEMINFO = {"proc/meminfo": "MemTotal: 9000000 kB\nMemFree: 100 kB\nMemAvailable: 8000000 kB\n"}
VERSION_2 = {
    "proc/self/cgroup": "0::/pod/box\n",
    "sys/fs/cgroup/pod/memory.max": "5000000000\n",
    "sys/fs/cgroup/pod/memory.current": "4000000000\n",
    "sys/fs/cgroup/pod/memory.stat": "anon 7\ninactive_file 1500000000\nactive_file 500000000\n",
    "sys/fs/cgroup/pod/box/memory.max": "max\n",
    "sys/fs/cgroup/pod/box/memory.current": "4000000000\n",
}
VERSION_1 = {
    "proc/self/cgroup": "9:cpu:/\n4:memory:/outside\n0::/\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "2000000000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "3000000000\n",
    "sys/fs/cgroup/memory/memory.stat": "cache 9\ntotal_inactive_file 600000000\ntotal_active_file 1\n",
}
MANY_LAYERS = DecoderConfig(
    vocab_size=288,
    hidden_size=16384,
    num_layers=80,
    num_heads=128,
    num_kv_heads=128,
    head_dim=128,
    intermediate_size=65536,
)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (MEMINFO, (8_192_000_000, "this machine")),
        ({**MEMINFO, **VERSION_2}, (3 * GB, "this process's control group")),
        ({**MEMINFO, **VERSION_1}, (0, "this process's control group")),
        (
            {**MEMINFO, **VERSION_1, "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"},
            (8_192_000_000, "this machine"),
        ),
    ],
)
def test_the_narrowest_limit_counts(tmp_path: Path, files: dict[str, str], expected: tuple[int, str]) -> None:
    assert _native.available_memory(write_machine(tmp_path, files)) == expected


def test_memory_of_this_machine_is_known() -> None:
    num_bytes, _ = _native.available_memory()
    assert 1 << 20 < num_bytes < 1 << 50


def test_what_fits_exactly_is_taken() -> None:
    _native.require_memory("a model", [("weights", 7), ("buffers", 3)], 10, "take another")
    with pytest.raises(ValueError, match="a model needs"):
        _native.require_memory("a model", [("weights", 7), ("buffers", 4)], 10, "take another")


@pytest.mark.parametrize(
    ("parts", "available", "message"),
    [
        (
            [("weights", 11_800_000_000), ("buffers", 500_000_000)],
            8_100_000_000,
            "x.gguf needs 12.3 GB (weights 11.8, buffers 0.5) and this machine has 8.1 GB available; do y",
        ),
        (
            [("weights", 900_000_000), ("KV cache", 90_000_000)],
            600_400_000,
            "x.gguf needs 990 MB (weights 900, KV cache 90) and this machine has 600 MB available; do y",
        ),
        ([("all", 2 * GB)], 1, "x.gguf needs 2.0 GB and this machine has 0 MB available; do y"),
    ],
)
def test_the_refusal_shows_the_sum(parts: list[tuple[str, int]], available: int, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        _native.require_memory("x.gguf", parts, available, "do y")


@pytest.mark.parametrize("context_length", [1, 16, 70])
def test_the_planned_cache_is_the_one_a_session_gets(tiny_gguf: Path, context_length: int) -> None:
    model = _native.Model.load(str(tiny_gguf), num_threads=1)
    assert model.kv_bytes(context_length) == model.new_session(context_length).kv_bytes


def gguf_key(name: str, value: Any) -> tuple[str, int, Any]:
    kinds = {bool: BOOL, int: UINT32, float: FLOAT32, str: STRING}
    if not isinstance(value, list):
        return name, kinds[type(value)], value
    element = INT32 if isinstance(value[0], int) else kinds[type(value[0])]
    return name, ARRAY, (element, value)


def write_hollow_gguf(path: Path, config: DecoderConfig) -> int:
    """A file whose weights are a hole, and the bytes of those."""
    metadata = {**config_metadata(config), **byte_tokenizer_metadata(config.vocab_size)}
    tensors, size = [], 0
    for tensor in model_tensors(config):
        kind, name = (F32, "f32") if tensor.role == "vector" else (Q8_0, "q8_0")
        tensors.append(Tensor(tensor.name, tensor.shape[::-1], kind, size))
        size += tensor_bytes(tensor.shape, name)
    keys = [gguf_key(name, value) for name, value in metadata.items() if value != []]
    with path.open("wb") as file:
        file.write(GgufBytes(keys, tensors).pack())
        file.truncate(file.tell() + size)
    return size


def test_a_model_larger_than_the_machine_is_refused_before_loading(tmp_path: Path) -> None:
    path = tmp_path / "big.gguf"
    weights = write_hollow_gguf(path, MANY_LAYERS) / GB
    if weights * GB < _native.available_memory()[0]:
        pytest.skip("this machine holds it")
    with pytest.raises(ValueError, match=r"^big\.gguf needs [\d.]+ GB \(weights ") as refusal:
        load(path)
    assert f"(weights {weights:.1f}, buffers 0." in str(refusal.value)
    assert str(refusal.value).endswith("take a smaller model or a stronger quantization")


def test_a_context_that_leaves_no_room_is_refused_before_loading(tmp_path: Path) -> None:
    config = DecoderConfig(
        vocab_size=288,
        hidden_size=512,
        num_layers=64,
        num_heads=8,
        num_kv_heads=8,
        head_dim=64,
        intermediate_size=64,
        context_length=1 << 24,
    )
    path = tmp_path / "long.gguf"
    write_hollow_gguf(path, config)
    if _native.available_memory()[0] > 2 * 2**40:
        pytest.skip("this machine holds it")
    with pytest.raises(ValueError, match=r"KV cache 2199\.0\).*take a shorter context"):
        load(path, context_length=config.context_length)


LIMITED = """
import resource, sys
from phonelm import _native
def virtual_bytes():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
def leave(num_bytes):
    resource.setrlimit(resource.RLIMIT_AS, (virtual_bytes() + num_bytes, resource.RLIM_INFINITY))
def outcome(call):
    try:
        call()
    except (ValueError, OSError, MemoryError) as error:
        print(type(error).__name__, error)
"""


def under_a_limit(script: str, *arguments: str) -> str:
    command = [sys.executable, "-c", LIMITED + script, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def small_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    config = DecoderConfig(
        vocab_size=4096,
        hidden_size=1024,
        num_layers=4,
        num_heads=16,
        num_kv_heads=16,
        head_dim=64,
        intermediate_size=4096,
        context_length=4096,
    )
    write_random_gguf(path, config)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_weights_beyond_the_address_space_are_refused(small_gguf: Path) -> None:
    size = small_gguf.stat().st_size
    script = f"leave({size} + (20 << 20))\noutcome(lambda: _native.Model.load(sys.argv[1], num_threads=1))"
    expected = (
        r"ValueError small\.gguf needs \d+ MB \(weights \d+, buffers \d+\) and this process's address space"
    )
    assert re.match(expected, under_a_limit(script, str(small_gguf)))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_file_that_cannot_be_mapped_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "big.gguf"
    size = write_hollow_gguf(path, MANY_LAYERS) / GB
    script = "leave(1 << 30)\noutcome(lambda: _native.Model.load(sys.argv[1]))"
    expected = (
        rf"ValueError mapping \S*big\.gguf needs {size:.1f} GB and this process's address space \(ulimit -v\)"
    )
    assert re.match(expected, under_a_limit(script, str(path)))


@pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")
def test_a_session_without_room_is_refused_and_the_model_goes_on(small_gguf: Path) -> None:
    script = """
model = _native.Model.load(sys.argv[1], num_threads=2)
leave(8 << 20)
outcome(lambda: model.new_session(4096))
session = model.new_session(16)
session.prefill([1, 2, 3])
print(session.position)
"""
    refusal, position = under_a_limit(script, str(small_gguf)).splitlines()
    assert re.match(r"ValueError .*memory|ValueError .*available", refusal)
    assert position == "3"
