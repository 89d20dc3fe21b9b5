from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf_bytes import ARRAY, BOOL, FLOAT32, STRING, UINT32, UINT64, GgufBytes, Tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from phonelm._native import Tokenizer, read_metadata, read_tensors

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1")
BYTE_CHARACTERS = "".join(
    chr(b) for b in [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100), *range(0x100, 0x144)]
)


def write_tiny(path: Path) -> None:
    """One of each: every scalar type, arrays, every tensor type, a tokenizer."""
    writer = gguf.GGUFWriter(path, "llama")
    for name, value in {
        "uint8": 200,
        "int8": -100,
        "uint16": 60000,
        "int16": -30000,
        "int32": -(2**31),
    }.items():
        getattr(writer, f"add_{name}")(f"test.{name}", value)
    writer.add_uint64("test.uint64", 2**64 - 1)
    writer.add_int64("test.int64", -(2**63))
    writer.add_float32("test.float32", 0.1)
    writer.add_float64("test.float64", math.inf)
    writer.add_bool("test.bool", True)
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.floats", [0.5, -0.25])
    writer.add_array("test.bools", [True, False])
    writer.add_string("test.text", "naïve ☃ line\nbreak")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list([*BYTE_CHARACTERS, "<|im_end|>", "he", "Ġhe"])
    writer.add_token_types([1] * 256 + [3, 1, 1])
    writer.add_token_merges(["h e", "Ġ he"])
    writer.add_eos_token_id(256)
    rng = np.random.default_rng(0)
    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        block_size, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        row_bytes = 64 // block_size * block_bytes
        data = rng.integers(0, 256, (3, row_bytes), dtype=np.uint8)
        writer.add_tensor(f"{name.lower()}.weight", data, raw_shape=(3, row_bytes), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_tiny(path)
    return path


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[bytes], bool]]:
    """Load bytes as a file in every way there is. False: refused with a clean message."""
    path = tmp_path_factory.mktemp("mutated") / "mutated.gguf"
    file = path.open("wb", buffering=0)  # kept open: making the file anew each time would wait for the disk

    def try_load(data: bytes) -> bool:
        os.pwrite(file.fileno(), data, 0)
        file.truncate(len(data))
        try:
            read_metadata(str(path))
            read_tensors(str(path))
            tokenizer = Tokenizer.from_gguf(str(path))
            tokenizer.decode(tokenizer.encode("the héllo <|im_end|> 123 \0", parse_special=True))
        except ValueError as error:
            message = str(error)
            assert message.startswith(f"{path}: ")
            assert "\n" not in message
            return False
        return True

    yield try_load
    file.close()


def expected_metadata(reader: gguf.GGUFReader) -> Iterator[tuple[str, Any]]:
    for name, entry in reader.fields.items():
        value = entry.contents()
        if not name.startswith("GGUF.") and not (isinstance(value, list) and len(value) > 64):
            yield name, value


def check_against_reader(path: Path) -> None:
    reader = gguf.GGUFReader(path)
    assert read_metadata(str(path)) == dict(expected_metadata(reader))
    expected = [
        {
            "name": tensor.name,
            "type": tensor.tensor_type.name,
            "shape": [int(size) for size in tensor.shape],
            "offset": int(tensor.data_offset),
            "num_bytes": int(tensor.n_bytes),
        }
        for tensor in reader.tensors
    ]
    assert read_tensors(str(path)) == expected


def test_tiny_file_reads_as_with_the_gguf_package(tiny: Path) -> None:
    check_against_reader(tiny)


def test_real_model_reads_as_with_the_gguf_package(smollm2_gguf: Path) -> None:
    check_against_reader(smollm2_gguf)


def test_version_2_and_no_tensors(tmp_path: Path) -> None:
    path = tmp_path / "v2.gguf"
    path.write_bytes(GgufBytes(keys=[("a", UINT32, 7)], version=2).pack())
    assert read_metadata(str(path)) == {"a": 7}
    assert read_tensors(str(path)) == []


def test_own_alignment_is_used(tmp_path: Path) -> None:
    path = tmp_path / "aligned.gguf"
    tensors = [Tensor("a"), Tensor("b", offset=64)]
    keys = [("general.alignment", UINT32, 8)]
    path.write_bytes(GgufBytes(keys=keys, tensors=tensors, data=bytes(96)).pack())
    first, second = read_tensors(str(path))
    assert first["offset"] % 8 == 0
    assert second["offset"] - first["offset"] == 64


def test_every_truncation_is_refused(tiny: Path, load: Callable[[bytes], bool]) -> None:
    whole = tiny.read_bytes()
    end = max(tensor["offset"] + tensor["num_bytes"] for tensor in read_tensors(str(tiny)))
    assert [size for size in range(len(whole)) if load(whole[:size])] == list(range(end, len(whole)))


@pytest.mark.parametrize("flip", [0x01, 0x80, 0xFF])
def test_every_byte_flipped_is_read_or_refused(tiny: Path, load: Callable[[bytes], bool], flip: int) -> None:
    whole = bytearray(tiny.read_bytes())
    refused = 0
    for i in range(len(whole)):
        whole[i] ^= flip
        refused += not load(bytes(whole))
        whole[i] ^= flip
    assert refused > 500  # lengths, counts, types and offsets; the flips in texts and data cannot be noticed


NUMBERS = st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**61, 2**62, 2**63 - 1, 2**63, 2**64 - 1])


@settings(deadline=None)
@given(data=st.data())
def test_mutated_file_is_read_or_refused(
    tiny: Path, load: Callable[[bytes], bool], data: st.DataObject
) -> None:
    content = bytearray(tiny.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 9))
        removed = data.draw(st.sampled_from([0, 1, 8]))
        new = data.draw(st.one_of(st.binary(max_size=9), NUMBERS.map(lambda n: struct.pack("<Q", n))))
        content[place : place + removed] = new
    load(bytes(content))


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "empty"),
    "another format": (b"PK\3\4" + bytes(100), r"not a GGUF file .*'PK\\x03\\x04'"),
    "two bytes": (b"GG", "not a GGUF file"),
    "version 1": (GgufBytes(version=1).pack(), "version 1 is not supported"),
    "big endian": (GgufBytes(version=3 << 24).pack(), "big-endian"),
    "too many keys": (GgufBytes(num_keys=2**40).pack(), "number of metadata keys"),
    "too many tensors": (GgufBytes(num_tensors=2**61).pack(), "number of tensors"),
    "long key": (GgufBytes(num_keys=1).pack()[:24] + b"\xff" * 40, "name of a metadata key claims more"),
    "no key name": (GgufBytes(keys=[("", UINT32, 1)]).pack(), "metadata key has no name"),
    "key twice": (GgufBytes(keys=[("a.b", UINT32, 1)] * 2).pack(), "metadata key 'a.b' is there twice"),
    "bool of 2": (GgufBytes(keys=[("yes", BOOL, 2)]).pack(), "'yes' is 2, neither true nor false"),
    "nested array": (
        GgufBytes(keys=[("deep", ARRAY, (ARRAY, [(UINT32, [1])]))]).pack(),
        "'deep' is an array of arrays",
    ),
    "key type": (
        GgufBytes(keys=[("odd", UINT32, 1)]).pack().replace(b"odd\4", b"odd\x0d"),
        "'odd' has the unknown type 13",
    ),
    "array beyond 2^63": (
        GgufBytes(keys=[("n", ARRAY, (UINT64, [2**63]))]).pack(),
        r"'n' has a number beyond",
    ),
    "alignment": (GgufBytes(keys=[("general.alignment", UINT32, 24)]).pack(), "general.alignment is 24"),
    "alignment kind": (GgufBytes(keys=[("general.alignment", FLOAT32, 32)]).pack(), "not an integer"),
    "alignment text": (GgufBytes(keys=[("general.alignment", STRING, "32")]).pack(), "not an integer"),
    "no dimension": (
        GgufBytes(tensors=[Tensor(dims=())], data=bytes(64)).pack(),
        "'weight' has 0 dimensions",
    ),
    "five dimensions": (
        GgufBytes(tensors=[Tensor(dims=(1,) * 5)], data=bytes(64)).pack(),
        "has 5 dimensions",
    ),
    "empty dimension": (GgufBytes(tensors=[Tensor(dims=(4, 0))], data=bytes(64)).pack(), "dimension of 0"),
    "overflowing shape": (
        GgufBytes(tensors=[Tensor(dims=(2**32, 2**32, 4))], data=bytes(64)).pack(),
        "larger than",
    ),
    "overflowing row": (GgufBytes(tensors=[Tensor(dims=(2**62 + 1,))], data=bytes(64)).pack(), "larger than"),
    "other quants": (
        GgufBytes(tensors=[Tensor(kind=17, dims=(256,))], data=bytes(256)).pack(),
        "'weight' has the type IQ2_XS, which is not supported; use a file of F32, F16, BF16, Q4_0, Q4_1, "
        "Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K or IQ4_NL tensors",
    ),
    "removed type": (GgufBytes(tensors=[Tensor(kind=4)], data=bytes(64)).pack(), "the type Q4_2, which"),
    "part of a super-block": (
        GgufBytes(tensors=[Tensor(kind=12, dims=(288,))], data=bytes(512)).pack(),
        "'weight' has rows of 288 elements, not a multiple of 256 as Q4_K needs",
    ),
    "unknown type": (GgufBytes(tensors=[Tensor(kind=77)], data=bytes(64)).pack(), "type number 77"),
    "part of a block": (
        GgufBytes(tensors=[Tensor(kind=8, dims=(48,))], data=bytes(96)).pack(),
        "rows of 48 elements, not a multiple of 32 as Q8_0 needs",
    ),
    "misaligned": (GgufBytes(tensors=[Tensor(offset=8)], data=bytes(64)).pack(), "'weight' is not aligned"),
    "beyond the end": (GgufBytes(tensors=[Tensor(offset=64)], data=bytes(64)).pack(), "beyond the end"),
    "far beyond the end": (
        GgufBytes(tensors=[Tensor(offset=2**64 - 32)], data=bytes(64)).pack(),
        "beyond the end",
    ),
    "tensor twice": (
        GgufBytes(tensors=[Tensor(), Tensor()], data=bytes(64)).pack(),
        "tensor 'weight' is there twice",
    ),
    "overlap": (
        GgufBytes(tensors=[Tensor("a", (16,)), Tensor("b", offset=32)], data=bytes(64)).pack(),
        "tensor 'a' and tensor 'b' overlap",
    ),
    "unprintable name": (GgufBytes(tensors=[Tensor("\x1b[31m\n", kind=77)]).pack(), r"'\\x1b\[31m\\x0a' has"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_is_refused_by_name(tmp_path: Path, case: str) -> None:
    content, problem = BROKEN[case]
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=problem) as caught:
        read_tensors(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_huge_array_in_a_small_file_allocates_nothing(tmp_path: Path) -> None:
    path = tmp_path / "huge.gguf"
    content = GgufBytes(keys=[("list", ARRAY, (UINT32, [1, 2, 3]))]).pack()
    path.write_bytes(
        content.replace(struct.pack("<Q", 3) + b"\1\0\0\0", struct.pack("<Q", 2**40) + b"\1\0\0\0")
    )
    with pytest.raises(ValueError, match="'list' claims more"):
        read_metadata(str(path))


def test_missing_file_is_an_os_error_with_its_name(tmp_path: Path) -> None:
    path = str(tmp_path / "none.gguf")
    for read in (read_metadata, read_tensors, Tokenizer.from_gguf):
        with pytest.raises(FileNotFoundError) as caught:
            read(path)
        assert caught.value.filename == path


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_a_permission_error(tmp_path: Path) -> None:
    path = tmp_path / "secret.gguf"
    path.write_bytes(GgufBytes().pack())
    path.chmod(0)
    with pytest.raises(PermissionError):
        read_metadata(str(path))


def test_folder_and_pipe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder, not a GGUF file"):
        read_metadata(str(tmp_path))
    pipe = tmp_path / "pipe.gguf"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="not a regular file"):
        read_metadata(str(pipe))


def test_text_that_is_no_utf8_is_replaced_not_raised(tmp_path: Path) -> None:
    path = tmp_path / "latin1.gguf"
    path.write_bytes(GgufBytes(keys=[("text", STRING, "caf??")]).pack().replace(b"caf??", b"caf\xe9!"))
    assert read_metadata(str(path)) == {"text": "caf\ufffd!"}
