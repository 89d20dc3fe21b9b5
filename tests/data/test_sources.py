"""Documents from every kind of source."""

from __future__ import annotations

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from phonelm.data.config import STDLIB
from phonelm.data.sources import documents, source_files, source_identity

ROWS = [
    {"text": "first ☃\nline"},
    {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]},
]
EXPECTED = ["first ☃\nline", "user: hi\n\nassistant: ho"]
LINES = "\n".join(json.dumps(row) for row in ROWS).encode() + b"\n\n"


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.jsonl", bytes),
        ("a.jsonl.xz", lzma.compress),
        ("a.jsonl.gz", gzip.compress),
        ("a.jsonl.zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_json_lines_of_every_compression(tmp_path: Path, name: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / name).write_bytes(pack(LINES))
    assert list(documents(str(tmp_path / name))) == EXPECTED


def test_parquet(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"text": ["one", "two"], "other": [1, 2]}), tmp_path / "a.parquet")
    messages = [[{"role": "user", "content": "hi"}]]
    parquet.write_table(pa.table({"messages": messages}), tmp_path / "b.parquet")
    assert list(documents(str(tmp_path / "a.parquet"))) == ["one", "two"]
    assert list(documents(str(tmp_path / "b.parquet"))) == ["user: hi"]


def test_a_folder_is_read_whole_and_always_in_the_same_order(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for number in range(20):
        (tmp_path / "deep" / f"{number}.txt").write_text(f"text {number}")
    (tmp_path / "x.md").write_text("# md")
    (tmp_path / "y.py").write_text("pass")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG")
    texts = list(documents(str(tmp_path)))
    assert sorted(texts) == sorted([f"text {number}" for number in range(20)] + ["# md", "pass"])
    assert texts == list(documents(str(tmp_path)))
    assert texts != sorted(texts)


def test_the_standard_library_is_there_without_tests_and_other_packages() -> None:
    files = source_files(STDLIB)
    names = {path.name for path in files}
    assert {"argparse.py", "dataclasses.py"} <= names
    assert not any("site-packages" in path.parts or path.name.startswith("test_support") for path in files)
    texts = documents(STDLIB)
    assert "assert" in next(texts)
    assert sum(len(text) for text in texts) > 5_000_000


def test_hugging_face_datasets_stream(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_bytes(b'{"text": "one"}\n{"text": "two"}\n')
    assert list(documents(f"hf:{tmp_path}")) == ["one", "two"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"\xff\xfe\x00bad", "a.txt"),
        ("a.jsonl", b'{"text": "ok"}\n{"text": ', "line 2"),
        ("a.jsonl", b'{"body": "no text"}\n', "line 1"),
        ("a.jsonl", b"[1, 2]\n", "line 1"),
        ("a.jsonl", b'{"messages": [1]}\n', "line 1"),
        ("a.jsonl.xz", lzma.compress(LINES)[:-20], "a.jsonl.xz"),
        ("a.jsonl.xz", b"not xz", "a.jsonl.xz"),
        ("a.jsonl.gz", gzip.compress(LINES)[:-12], "a.jsonl.gz"),
        ("a.jsonl.gz", b"not gz", "a.jsonl.gz"),
        ("a.jsonl.zst", b"not zst", "a.jsonl.zst"),
        ("a.parquet", b"PAR1 not parquet", "a.parquet"),
        ("a.bin", b"what", "unknown kind"),
    ],
)
def test_damaged_and_unknown_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        list(documents(str(tmp_path / name)))
    assert name in str(caught.value)


def test_truncated_zstandard_is_named(tmp_path: Path) -> None:
    noise = "".join(json.dumps({"text": str(hash((n, "x")))}) + "\n" for n in range(20000)).encode()
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.ZstdCompressor().compress(noise)[:-50])
    with pytest.raises(ValueError, match=r"a\.jsonl\.zst"):
        list(documents(str(tmp_path / "a.jsonl.zst")))


def test_parquet_without_text_is_named(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"body": ["one"]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match="no column"):
        list(documents(str(tmp_path / "a.parquet")))


def test_missing_and_empty_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        list(documents(str(tmp_path / "nowhere")))
    with pytest.raises(ValueError, match="no text files"):
        list(documents(str(tmp_path)))


def test_identity_changes_with_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    before = source_identity(str(tmp_path))
    assert source_identity(str(tmp_path)) == before
    (tmp_path / "b.txt").write_text("two")
    assert source_identity(str(tmp_path)) != before
