from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from phonelm.evaluate import read_text, text_of


def test_a_text_is_one_document_as_it_is(tmp_path: Path) -> None:
    raw = "Grüße\r\n\r\nend\n".encode()
    path = tmp_path / "text"
    path.write_bytes(raw)
    text = read_text(path)
    assert text.documents == (raw.decode(),)
    assert (text.file_bytes, text.sha256) == (len(raw), hashlib.sha256(raw).hexdigest())
    assert text_of(raw, str(path)) == text


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_json_lines_are_documents(tmp_path: Path, name: str) -> None:
    raw = "".join(json.dumps({"text": one}) + "\n" for one in ("first", "", "second\n")).encode()
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    assert read_text(path).documents == ("first", "second\n")


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("a.txt", b"", "is empty; give some text"),
        ("a.txt", b"GGUF\x00\x01", "is binary"),
        ("a.txt", b"abc\xff", r"is not UTF-8 \(byte 3\)"),
        ("a.jsonl", b"", "holds no text"),
        ("a.jsonl", b'{"text": ""}\n', "holds no text"),
        ("a.jsonl", b'{"prompt": "x"}\n', 'line 1 has no "text"'),
        ("a.jsonl", b"plain\n", "line 1 is not JSON"),
        ("a.jsonl", b"\xff\xfe\x00", "is damaged"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=message):
        read_text(path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_text(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="is a folder"):
        read_text(tmp_path)
