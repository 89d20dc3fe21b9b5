"""`phonelm pull`, `models` and `rm` in processes of their own, against a hub on this machine."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_hub import FakeHub, Fault, running_hub

Phonelm = Callable[..., subprocess.CompletedProcess[str]]
FILE = "X-Q4_K_M.gguf"
NAME = f"someone/X-GGUF:{FILE}"
CONTENT = b"GGUF" + bytes(range(256)) * 400


@pytest.fixture(autouse=True)
def hub(environment: dict[str, str], tmp_path: Path) -> Iterator[FakeHub]:
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_HUB_OFFLINE"):
        environment.pop(name, None)
    with running_hub() as running:
        environment |= {"HF_ENDPOINT": running.address, "no_proxy": "127.0.0.1"}
        environment["HF_HOME"] = str(tmp_path / "no-token")
        running.repositories["someone/X-GGUF"] = {FILE: CONTENT, "X-Q8_0.gguf": CONTENT * 2}
        running.licences["someone/X-GGUF"] = "apache-2.0"
        yield running


def parts(cache: Path) -> list[Path]:
    return list(cache.rglob("*.part"))


def test_a_pull_that_is_killed_goes_on_where_it_was(
    phonelm: Phonelm, command: list[str], environment: dict[str, str], hub: FakeHub, tmp_path: Path
) -> None:
    hub.faults[FILE] = Fault("slow")
    process = subprocess.Popen([*command, "pull", NAME], env=environment, stderr=subprocess.DEVNULL)
    while not any(part.stat().st_size > 5000 for part in parts(tmp_path)):
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (part,) = parts(tmp_path)
    have = part.stat().st_size
    assert 5000 < have < len(CONTENT)
    listed = json.loads(phonelm("models", "--json").stdout)
    assert listed["leftover_bytes"] >= have
    hub.asked_files.clear()
    done = phonelm("pull", NAME, "--json")
    assert done.returncode == 0, done.stderr
    assert "goes on after" in done.stderr
    document = json.loads(done.stdout)
    assert Path(document["path"]).read_bytes() == CONTENT
    assert (document["name"], document["licence"]) == (NAME, "apache-2.0")
    assert hub.ranges() == [f"bytes={have}-"]
    assert sorted(path.name for path in Path(document["path"]).parent.iterdir()) == [f".{FILE}.json", FILE]


def test_an_interrupt_says_that_nothing_is_lost(
    command: list[str], environment: dict[str, str], hub: FakeHub, tmp_path: Path
) -> None:
    hub.faults[FILE] = Fault("slow")
    process = subprocess.Popen([*command, "pull", NAME], env=environment, stderr=subprocess.PIPE, text=True)
    while not parts(tmp_path):
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert errors.endswith("phonelm: interrupted; the same command goes on where it was\n")
    assert parts(tmp_path)[0].stat().st_size > 0


def test_the_list_and_what_is_not_clear(phonelm: Phonelm, hub: FakeHub) -> None:
    listed = phonelm("pull", "someone/X-GGUF", "--list")
    rows = [line.split() for line in listed.stdout.splitlines()]
    assert [(row[0], row[-1]) for row in rows] == [("Q4_K_M", FILE), ("Q8_0", "X-Q8_0.gguf")]
    document = json.loads(phonelm("pull", "someone/X-GGUF", "--list", "--json").stdout)
    assert [model["size_bytes"] for model in document["models"]] == [len(CONTENT), 2 * len(CONTENT)]
    done = phonelm("pull", "someone/X-GGUF:Q2_K")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"is not there; there are {FILE}, X-Q8_0.gguf" in done.stderr
    assert hub.asked_files == []


def test_what_was_pulled_is_listed_and_removed(phonelm: Phonelm, tmp_path: Path) -> None:
    path = Path(phonelm("pull", NAME).stdout.strip())
    row = next(row for row in json.loads(phonelm("models", "--json").stdout)["models"] if row["name"] == NAME)
    assert (row["type"], row["licence"], row["path"]) == ("Q4_K_M", "apache-2.0", str(path))
    assert row["size_bytes"] == len(CONTENT)
    assert NAME in phonelm("models").stdout
    refused = phonelm("rm", NAME)
    assert refused.returncode == 1
    assert "give --yes" in refused.stderr
    assert path.exists()
    done = phonelm("rm", NAME, "--yes", "--json")
    document = json.loads(done.stdout)
    assert document["removed"] == [NAME]
    assert document["freed_bytes"] > len(CONTENT)
    assert not path.exists()
    assert list((tmp_path / "cache" / "hub").iterdir()) == []
    assert "is not here" in phonelm("rm", NAME, "--yes").stderr


def test_a_repository_alone_means_all_of_it(phonelm: Phonelm, tmp_path: Path) -> None:
    phonelm("pull", NAME)
    phonelm("pull", "someone/X-GGUF:Q8_0")
    done = phonelm("rm", "someone/X-GGUF", "--yes")
    assert done.stdout.count("removed") == 2
    assert list(tmp_path.rglob("*.gguf")) == []


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a/..", "x:y", "someone/X-GGUF:../../x.gguf"]
)
def test_what_is_no_pulled_model_is_never_removed(phonelm: Phonelm, name: str) -> None:
    done = phonelm("rm", name, "--yes")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1


def test_links_are_not_followed(phonelm: Phonelm, tmp_path: Path) -> None:
    path = Path(phonelm("pull", NAME).stdout.strip())
    outside = tmp_path / "outside"
    path.parent.parent.rename(outside)
    path.parent.parent.symlink_to(outside)
    assert phonelm("rm", NAME, "--yes").returncode == 1
    assert (outside / "X-GGUF" / FILE).read_bytes() == CONTENT


def test_leftovers_are_cleared_when_asked_for(phonelm: Phonelm, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "models"
    (folder / ".pull-abc").mkdir(parents=True)
    (folder / ".pull-abc" / "x.whl").write_bytes(bytes(1000))
    (folder / f".a.gguf.{'0' * 16}.part").write_bytes(bytes(500))
    (folder / "mine.gguf").write_bytes(b"GGUF")
    done = phonelm("rm", "--leftovers", "--yes", "--json")
    assert json.loads(done.stdout)["freed_bytes"] == 1500
    assert [path.name for path in folder.iterdir()] == ["mine.gguf"]


def test_a_terminal_is_asked(
    phonelm: Phonelm, command: list[str], environment: dict[str, str], tmp_path: Path
) -> None:
    path = Path(phonelm("pull", NAME).stdout.strip())
    for answer, is_left in ((b"n\n", True), (b"y\n", False)):
        ours, theirs = pty.openpty()
        os.write(ours, answer)
        done = subprocess.run(
            [*command, "rm", NAME], env=environment, stdin=theirs, capture_output=True, text=True, check=False
        )
        os.close(ours)
        os.close(theirs)
        assert "Remove these? [y/N]" in done.stderr
        assert path.exists() == is_left
