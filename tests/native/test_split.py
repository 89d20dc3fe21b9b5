"""Models in several files, as the gguf package's writer splits them; the whole file is the reference."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from phonelm import _native

IDS = [10, 20, 30, 40]
Split = Callable[..., list[Path]]


def write_again(source: Path, out: Path, keys: dict[str, int] | None = None, **options: Any) -> list[Path]:
    """Write a file again, in parts or with more keys."""
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = gguf.GGUFWriter(out, architecture, **options)
    for name, field in reader.fields.items():
        # The package writes no empty arrays.
        if name.startswith("GGUF.") or name == "general.architecture" or field.contents() == []:
            continue
        element = field.types[1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], element)
    for name, value in (keys or {}).items():
        writer.add_uint16(name, value)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(out.parent.glob(f"{out.stem}*.gguf"))


@pytest.fixture
def split(tiny_gguf: Path, tmp_path: Path) -> Split:
    def in_parts(tensors: int = 9, **options: Any) -> list[Path]:
        return write_again(tiny_gguf, tmp_path / "model.gguf", split_max_tensors=tensors, **options)

    return in_parts


def logits(path: Path) -> np.ndarray:
    session = _native.Model.load(str(path), num_threads=1).new_session(16)
    found: np.ndarray = session.prefill_logits(IDS)
    return found


@pytest.mark.parametrize("small_first_shard", [False, True])
def test_any_part_loads_the_whole_model(split: Split, tiny_gguf: Path, small_first_shard: bool) -> None:
    parts = split(small_first_shard=small_first_shard)
    assert len(parts) == 3 + small_first_shard
    expected = logits(tiny_gguf)
    for part in parts:
        assert np.array_equal(logits(part), expected)


def test_what_is_told_of_parts_is_told_of_the_whole(split: Split, tiny_gguf: Path) -> None:
    parts = split()
    tensors = _native.read_tensors(str(parts[0]))
    whole = {tensor["name"]: tensor for tensor in _native.read_tensors(str(tiny_gguf))}
    assert {tensor["name"] for tensor in tensors} == set(whole)
    for tensor in tensors:
        assert {**tensor, "offset": 0} == {**whole[tensor["name"]], "offset": 0}
    metadata = _native.read_metadata(str(parts[1]))
    expected = {key: value for key, value in _native.read_metadata(str(tiny_gguf)).items() if value != []}
    assert {key: metadata[key] for key in expected} == expected
    assert metadata["split.count"] == 3
    assert _native.describe(str(parts[2])) == _native.describe(str(tiny_gguf))
    model = _native.Model.load(str(parts[0]), num_threads=1)
    assert model.file_bytes == sum(part.stat().st_size for part in parts)
    ids = model.tokenizer.encode("the sea")
    assert model.tokenizer.decode(ids) == b"the sea"


@pytest.mark.parametrize("small_first_shard", [False, True])
def test_a_session_is_restored_with_the_parts_it_was_saved_with(
    split: Split, tmp_path: Path, small_first_shard: bool
) -> None:
    parts = split(small_first_shard=small_first_shard)
    session = _native.Model.load(str(parts[0]), num_threads=1).new_session(16)
    session.prefill(IDS)
    session.save(str(tmp_path / "a.session"))
    restored = _native.Model.load(str(parts[1]), num_threads=1).restore_session(str(tmp_path / "a.session"))
    assert np.array_equal(restored.logits(), session.logits())
    # The metadata of the first part are a part of what the session was saved with.
    content = parts[0].read_bytes()
    assert content.count(b"random weights") == 1
    parts[0].write_bytes(content.replace(b"random weights", b"RANDOM WEIGHTS"))
    with pytest.raises(ValueError, match="another model"):
        _native.Model.load(str(parts[0]), num_threads=1).restore_session(str(tmp_path / "a.session"))


def set_byte(path: Path, key: str, value: int) -> None:
    """Change the lowest byte of a number in the metadata."""
    content = bytearray(path.read_bytes())
    content[content.index(key.encode()) + len(key) + 4] = value
    path.write_bytes(content)


def refusal(path: Path) -> str:
    with pytest.raises(ValueError, match=r"\.gguf: ") as caught:
        _native.Model.load(str(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_missing_part_is_named(split: Split) -> None:
    parts = split()
    parts[1].unlink()
    message = refusal(parts[0])
    assert "is part 1 of 3 of a split model" in message
    assert "model-00002-of-00003.gguf is not there" in message


def test_a_part_of_another_name_says_how_to_join_them(split: Split, tmp_path: Path) -> None:
    alone = split()[1].rename(tmp_path / "alone.gguf")
    message = refusal(alone)
    assert "is part 2 of 3 of a split model" in message
    assert "-00002-of-00003.gguf" in message
    assert "gguf-split --merge" in message


def test_parts_under_each_others_names(split: Split) -> None:
    parts = split()
    shutil.copy(parts[2], parts[1])
    assert "is part 3 of 3 by its metadata and part 2 of 3 by its name" in refusal(parts[0])


def test_a_tensor_in_two_parts(split: Split) -> None:
    parts = split()
    shutil.copy(parts[0], parts[1])
    set_byte(parts[1], "split.no", 1)
    message = refusal(parts[0])
    assert message.startswith(f"{parts[1]}: tensor ")
    assert "is in another part of the split model too" in message


def test_a_truncated_part_is_named(split: Split) -> None:
    parts = split()
    parts[2].write_bytes(parts[2].read_bytes()[:-64])
    assert refusal(parts[0]).startswith(f"{parts[2]}: tensor ")


@pytest.mark.parametrize(("number", "count"), [(3, 3), (0, 70000)])
def test_places_that_are_none(tmp_path: Path, number: int, count: int) -> None:
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    writer.add_uint32("split.no", number)
    writer.add_uint32("split.count", count)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert f"split.no is {number} and split.count {count}" in refusal(tmp_path / "a.gguf")


def test_a_number_of_tensors_that_lies(split: Split) -> None:
    parts = split()
    set_byte(parts[0], "split.tensors.count", 200)
    assert "tensors, not the 200 of split.tensors.count" in refusal(parts[0])


def test_the_only_part_is_a_whole_file(tiny_gguf: Path, tmp_path: Path) -> None:
    (path,) = write_again(tiny_gguf, tmp_path / "one.gguf", {"split.no": 0, "split.count": 1})
    assert np.array_equal(logits(path), logits(tiny_gguf))
