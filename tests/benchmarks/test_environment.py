from __future__ import annotations

import sys
from pathlib import Path

import pytest
from peers import PEERS
from peers.environment import clean, ready, run
from peers.peer import Peer, SetupError


def peer(set_up, **more) -> Peer:
    return Peer("it", "1.0", "peers.nothing", "no time", set_up, **more)


def test_a_set_up_is_done_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[Path] = []
    place = ready(peer(calls.append), tmp_path)
    assert place == tmp_path / "it-1.0"
    assert "setting up it 1.0" in capsys.readouterr().err
    ready(peer(calls.append), tmp_path)
    assert calls == [place]
    assert capsys.readouterr().err == ""


def test_an_interrupted_set_up_is_begun_anew(tmp_path: Path) -> None:
    def stopped(place: Path) -> None:
        (place / "half").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ready(peer(stopped), tmp_path)
    assert (tmp_path / "it-1.0" / "half").exists()
    place = ready(peer(lambda place: None), tmp_path)
    assert not (place / "half").exists()


def test_a_failed_step_is_told_in_one_line(tmp_path: Path) -> None:
    script = "import sys; print('much'); sys.exit('no compiler')"
    failing = peer(lambda place: run([sys.executable, "-c", script], place))
    for _ in range(2):
        with pytest.raises(SetupError, match=r"its set-up failed: no compiler \(all of it: .*it-1\.0\.log\)"):
            ready(failing, tmp_path)
    log = (tmp_path / "it-1.0.log").read_text()
    assert log.count("much") == 2  # the command and what it said, of the last try alone


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SetupError, match="cannot be written"):
        ready(peer(lambda place: None), tmp_path / "file")


def test_a_peer_that_cannot_run_is_not_set_up(tmp_path: Path) -> None:
    calls: list[Path] = []
    with pytest.raises(SetupError, match="wrong processor"):
        ready(peer(calls.append, reason_against=lambda: "wrong processor"), tmp_path)
    assert calls == []
    assert list(tmp_path.iterdir()) == []


def test_other_pythons_packages_stay_out() -> None:
    assert clean({"PYTHONPATH": "a", "PYTHONHOME": "b", "PATH": "c"}) == {"PATH": "c"}


def test_peers_have_their_own_names() -> None:
    assert list(PEERS) == ["llama.cpp", "llama.cpp-amx", "xllamacpp", "openvino-genai"]
    assert all(peer.name == name for name, peer in PEERS.items())
