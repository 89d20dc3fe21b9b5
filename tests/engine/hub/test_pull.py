"""Pulls against a hub on this machine: whole, stopped, stalled, refused, hostile."""

from __future__ import annotations

import hashlib
import threading
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from fake_hub import COMMIT, FakeHub, Fault
from phonelm.engine import resolve
from phonelm.engine.hub.client import _opener
from phonelm.engine.hub.errors import FetchError
from phonelm.engine.hub.kept import KeptModel, find_kept, kept_models
from phonelm.engine.hub.pull import pull_from_hub
from phonelm.engine.hub.reference import parse_reference
from progress_lines import Lines

CONTENT = b"GGUF" + bytes(range(256)) * 400
FILE = "X-Q4_K_M.gguf"
NAME = f"someone/X-GGUF:{FILE}"


@pytest.fixture(autouse=True)
def repository(hub: FakeHub) -> None:
    hub.repositories["someone/X-GGUF"] = {FILE: CONTENT, "X-Q8_0.gguf": CONTENT * 2, "README.md": b"#"}
    hub.licences["someone/X-GGUF"] = "mit"


def pull(name: str, lines: Lines | None = None) -> KeptModel:
    return pull_from_hub(parse_reference(name), lines)


def left(cache: Path) -> list[str]:
    """What is in the cache beside whole files and their records."""
    files = [path.name for path in cache.rglob("*") if path.is_file()]
    return [name for name in files if name.startswith(".") and not name.endswith(".json")]


def test_a_file_comes_with_its_record_and_is_found_by_its_names(
    hub: FakeHub, cache: Path, lines: Lines
) -> None:
    kept = pull("someone/X-GGUF", lines)
    assert kept.files == (cache / "hub" / "someone" / "X-GGUF" / FILE,)
    assert kept.files[0].read_bytes() == CONTENT
    assert (kept.name, kept.record.licence, kept.record.commit) == (NAME, "mit", COMMIT)
    assert "takes X-Q4_K_M.gguf (Q4_K_M)" in lines
    assert left(cache) == []
    for name in (NAME, "someone/X-GGUF", "someone/X-GGUF:q4_k_m", "hf.co/someone/X-GGUF:Q4_K_M"):
        assert resolve(name) == kept.files[0]


def test_what_is_not_here_is_never_fetched_by_a_load(hub: FakeHub) -> None:
    with pytest.raises(FileNotFoundError, match=r"run: phonelm pull someone/X-GGUF:Q8_0"):
        resolve("someone/X-GGUF:Q8_0")
    pull(NAME)
    asked = len(hub.asked)
    with pytest.raises(FileNotFoundError, match=r"run: phonelm pull someone/X-GGUF:Q8_0"):
        resolve("someone/X-GGUF:Q8_0")
    assert len(hub.asked) == asked


def test_a_file_that_is_here_is_not_fetched_again_but_a_newer_one_is(hub: FakeHub) -> None:
    pull(NAME)
    pull(NAME)
    assert len(hub.asked_files) == 1
    hub.repositories["someone/X-GGUF"][FILE] = CONTENT[::-1]
    assert pull(NAME).files[0].read_bytes() == CONTENT[::-1]


def test_revisions_are_kept_apart(hub: FakeHub) -> None:
    main = pull(NAME).files[0]
    hub.repositories["someone/X-GGUF"][FILE] = b"GGUF other"
    other = pull(f"someone/X-GGUF@refs/pr/1:{FILE}")
    assert other.files[0].read_bytes() == b"GGUF other"
    assert main.read_bytes() == CONTENT
    assert resolve(other.name) == other.files[0]
    assert [model.name for model in kept_models()] == [NAME, f"someone/X-GGUF@refs/pr/1:{FILE}"]


def test_all_parts_of_a_split_file_come(hub: FakeHub) -> None:
    parts = {f"s/big-Q8_0-0000{number}-of-00003.gguf": b"GGUF%d" % number for number in (1, 2, 3)}
    hub.repositories["someone/big"] = dict(parts)
    kept = pull("someone/big:big-Q8_0-00002-of-00003.gguf")
    assert [file.read_bytes() for file in kept.files] == list(parts.values())
    assert resolve("someone/big:Q8_0") == kept.files[0]
    kept.files[1].unlink()
    assert find_kept(parse_reference("someone/big")) is None
    assert len(pull("someone/big").files) == 3
    assert len(hub.asked_files) == 4


@pytest.mark.parametrize("kind", ["cut", "stall"])
def test_a_short_fault_is_gone_on_from(hub: FakeHub, lines: Lines, kind: str) -> None:
    hub.faults[FILE] = Fault(kind, after=30_000)
    assert pull(NAME, lines).files[0].read_bytes() == CONTENT
    assert hub.ranges() == [None, "bytes=30000-"]
    assert "asks again" in lines
    assert "hash than" not in lines


@pytest.mark.parametrize(
    ("kind", "reason"), [("cut", "the connection was cut"), ("stall", "no bytes for 0.3 s")]
)
def test_a_long_fault_is_told_truly_and_resumed_by_the_next(
    hub: FakeHub, cache: Path, lines: Lines, kind: str, reason: str
) -> None:
    hub.faults[FILE] = Fault(kind, after=30_000)
    resumed = Fault(kind, after=0, times=9)
    take = hub.take_fault
    first = iter([hub.faults[FILE]])
    hub.take_fault = lambda name: next(first, None) or (take(name) if resumed.times else None)  # type: ignore[method-assign]
    hub.faults[FILE] = resumed
    with pytest.raises(FetchError, match=rf"stopped after 30.0 kB of 102.4 kB \({reason}\); run the same"):
        pull(NAME)
    resumed.times = 0
    hub.asked_files.clear()
    assert pull(NAME, lines).files[0].read_bytes() == CONTENT
    assert hub.ranges() == ["bytes=30000-"]
    assert "goes on after 30.0 kB" in lines
    assert left(cache) == []


def test_a_server_without_ranges_sends_all_again(hub: FakeHub) -> None:
    hub.faults[FILE] = Fault("cut", after=5000)
    original = hub.take_fault
    given = iter([Fault("cut", after=5000), Fault("no-ranges")])
    hub.take_fault = lambda name: next(given, original(name))  # type: ignore[method-assign]
    assert pull(NAME).files[0].read_bytes() == CONTENT
    assert hub.ranges() == [None, "bytes=5000-"]


def test_wrong_bytes_are_said_and_deleted(hub: FakeHub, cache: Path) -> None:
    hub.faults[FILE] = Fault("wrong")
    with pytest.raises(FetchError, match=r"another hash than .* and was deleted"):
        pull(NAME)
    assert left(cache) == []
    assert kept_models() == []
    assert pull(NAME).files[0].read_bytes() == CONTENT


def test_another_size_is_no_wrong_hash(hub: FakeHub) -> None:
    listing = hub.listing
    hub.listing = lambda repo: _with_sizes(listing(repo), len(CONTENT) + 7)  # type: ignore[method-assign]
    with pytest.raises(FetchError, match=r"has 102,404 bytes at its source, not the 102,411 expected"):
        pull(NAME)


def _with_sizes(document: dict[str, list[dict[str, int]]], size: int) -> dict[str, list[dict[str, int]]]:
    for entry in document["siblings"]:
        entry["size"] = size
    return document


def test_a_beginning_of_another_content_is_not_gone_on_from(hub: FakeHub, cache: Path) -> None:
    hub.faults[FILE] = Fault("cut", after=30_000, times=1)
    folder = cache / "hub" / "someone" / "X-GGUF"
    folder.mkdir(parents=True)
    (folder / f".{FILE}.{'0' * 16}.part").write_bytes(b"old")
    assert pull(NAME).files[0].read_bytes() == CONTENT
    assert left(cache) == []


def test_files_in_git_itself_are_checked_by_its_hash(hub: FakeHub) -> None:
    hub.without_lfs = True
    assert len(pull(NAME).record.digest) == 40
    hub.faults["X-Q8_0.gguf"] = Fault("wrong")
    with pytest.raises(FetchError, match="another hash"):
        pull("someone/X-GGUF:Q8_0")


def test_the_token_goes_to_the_hub_alone(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.secret = "hf_secret"
    monkeypatch.setenv("HF_TOKEN", " hf_secret\n")
    pull(NAME)
    assert all(asked.headers.get("authorization") == "Bearer hf_secret" for asked in hub.asked)
    assert len(hub.asked_files) == 1
    assert not any("authorization" in asked.headers for asked in hub.asked_files)


def test_the_token_goes_along_on_the_hubs_own_host(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.secret = "hf_secret"
    hub.renamed["someone/Old"] = "someone/X-GGUF"
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert pull(f"someone/Old:{FILE}").files[0].read_bytes() == CONTENT
    assert not any("authorization" in asked.headers for asked in hub.asked_files)


def test_a_refusal_of_the_host_of_files_is_not_taken_for_a_gate(hub: FakeHub) -> None:
    hub.faults[FILE] = Fault("refused")
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 refuses X-Q4_K_M\.gguf \(403\); run again"):
        pull(NAME)


def test_what_was_encrypted_stays_so() -> None:
    redirects = next(one for one in _opener().handlers if type(one).__name__ == "Redirects")
    request = urllib.request.Request("https://hub.example/a", headers={"Authorization": "Bearer x"})
    with pytest.raises(FetchError, match="without encryption"):
        redirects.redirect_request(request, None, 302, "", {}, "http://hub.example/a")
    for address, is_kept in (("https://hub.example/b", True), ("https://files.example/b", False)):
        following = redirects.redirect_request(request, None, 302, "", {}, address)
        assert following.has_header("Authorization") == is_kept


def test_the_kept_token_is_used(hub: FakeHub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub.secret = "hf_kept"
    (tmp_path / "token").write_text("hf_kept\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert pull(NAME).name == NAME


def test_a_token_that_is_none_is_refused(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_a\nX-Evil: 1")
    with pytest.raises(ValueError, match="set HF_TOKEN anew"):
        pull(NAME)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "GatedRepo", "is gated .* accept its licence .* HF_TOKEN"),
        (403, "GatedRepo", "is gated .* accept its licence .* HF_TOKEN"),
        (403, "", "is gated"),
        (401, "RepoNotFound", "knows no someone/X-GGUF .* check the name"),
        (404, "RepoNotFound", "knows no someone/X-GGUF"),
        (404, "", "is not on the hub"),
        (429, "", "limits how often it is asked .*wait 17 s"),
        (503, "", "the hub fails .* try again later"),
        (418, "", "refuses"),
    ],
)
def test_refusals_are_one_line_with_the_next_step(hub: FakeHub, status: int, code: str, message: str) -> None:
    hub.refusals["someone/X-GGUF"] = (status, code)
    with pytest.raises(FetchError, match=message) as caught:
        pull(NAME)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_is_named(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FetchError, match="knows no someone/other"):
        pull("someone/other")
    with pytest.raises(FetchError, match="someone/X-GGUF@v9 has no such revision"):
        pull("someone/X-GGUF@v9")
    hub.repositories["someone/empty"] = {"model.safetensors": b"x"}
    with pytest.raises(FetchError, match=r"no GGUF file .* phonelm quantize"):
        pull("someone/empty")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(FetchError, match=r"out of reach .* check the network, or set HF_ENDPOINT"):
        pull(NAME)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FetchError, match="HF_HUB_OFFLINE is set"):
        pull(NAME)


def test_a_full_disk_is_said_before_anything_comes(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "phonelm.engine.hub.space.shutil.disk_usage",
        lambda _: SimpleNamespace(free=(16 << 20) + len(CONTENT) - 1),
    )
    with pytest.raises(OSError, match=r"needs 102.4 kB of disk, .* free some space"):
        pull(NAME)
    assert hub.asked_files == []


def test_two_pulls_at_once_fetch_once(hub: FakeHub, cache: Path) -> None:
    hub.faults[FILE] = Fault("slow")
    results: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: results.append(pull(NAME).files[0].read_bytes())) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [CONTENT] * 3
    assert len(hub.asked_files) == 1
    assert left(cache) == []


def test_a_file_that_was_cut_here_is_fetched_anew(hub: FakeHub) -> None:
    file = pull(NAME).files[0]
    file.write_bytes(CONTENT[:100])
    assert kept_models() == []
    assert hashlib.sha256(pull(NAME).files[0].read_bytes()).digest() == hashlib.sha256(CONTENT).digest()
