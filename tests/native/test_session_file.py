"""Sessions in files: they go on bit for bit, and nothing wrong comes out of a wrong file."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phonelm import _native
from phonelm.formats import write_random_gguf
from shapes import TINY

PROMPT = [(7 * i) % 256 for i in range(50)]
HEADER_BYTES = 72


@pytest.fixture(scope="module")
def model(tiny_gguf: Path) -> Any:
    return _native.Model.load(str(tiny_gguf), num_threads=2)


@pytest.fixture(scope="module")
def saved(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sessions") / "a.session"
    session = model.new_session(64)
    session.prefill(PROMPT)
    session.save(str(path))
    return path


def greedy(session: Any, count: int) -> list[int]:
    sampler = _native.Sampler()
    first = session.sample(sampler)
    return [first, *session.decode(first, sampler, count - 1)]


@pytest.mark.parametrize("num_sinks", [None, 4, 20])
@pytest.mark.parametrize("kv_type", ["f16", "q8_0"])
@pytest.mark.parametrize("length", [1, 16, 50, 150])
def test_a_restored_session_goes_on_bit_for_bit(
    model: Any, tiny_gguf: Path, tmp_path: Path, length: int, kv_type: str, num_sinks: int | None
) -> None:
    if num_sinks is None and length > 64:
        pytest.skip("would not fit")
    session = model.new_session(64, kv_type=kv_type, num_sinks=num_sinks)
    session.prefill([(5 * i) % 256 for i in range(length)])
    path = tmp_path / "a.session"
    session.save(str(path))
    restored = _native.Model.load(str(tiny_gguf), num_threads=2).restore_session(str(path))
    for name in ("tokens", "position", "num_dropped", "context_length", "kv_type", "slides"):
        assert getattr(restored, name) == getattr(session, name)
    assert np.array_equal(restored.logits(), session.logits())
    count = min(40, 65 - length) if num_sinks is None else 80
    assert greedy(restored, count) == greedy(session, count)
    assert np.array_equal(restored.logits(), session.logits())


def test_a_session_without_logits(model: Any, tmp_path: Path) -> None:
    session = model.new_session(64)
    session.prefill(PROMPT)
    session.truncate(20)
    session.save(str(tmp_path / "a"))
    restored = model.restore_session(str(tmp_path / "a"))
    assert (restored.position, restored.logits_are_current) == (20, False)
    for one in (session, restored):
        one.prefill(PROMPT[20:])
    assert np.array_equal(restored.logits(), session.logits())
    empty = tmp_path / "empty"
    model.new_session(64).save(str(empty))
    assert model.restore_session(str(empty)).tokens == []


def test_another_context(model: Any, saved: Path) -> None:
    assert model.restore_session(str(saved), 96).context_length == 96
    assert model.restore_session(str(saved), 50).room == 0
    with pytest.raises(ValueError, match=r"holds 50 tokens and the context is 49; take a longer one$"):
        model.restore_session(str(saved), 49)
    with pytest.raises(ValueError, match="this model takes 1 to 96"):
        model.restore_session(str(saved), 97)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flipped_byte_is_found(model: Any, saved: Path, data: st.DataObject) -> None:
    whole = saved.read_bytes()
    at = data.draw(st.one_of(st.integers(0, HEADER_BYTES), st.integers(0, len(whole) - 1)))
    flip = data.draw(st.integers(1, 255))
    broken = saved.with_name("broken")
    broken.write_bytes(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
    with pytest.raises(ValueError, match=r"broken: (not a session|the session is damaged|session format)"):
        model.restore_session(str(broken))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_other_lengths_are_found(model: Any, saved: Path, data: st.DataObject) -> None:
    whole = saved.read_bytes()
    length = data.draw(st.one_of(st.integers(0, HEADER_BYTES + 8), st.integers(0, len(whole) - 1)))
    broken = saved.with_name("broken")
    for content in (whole[:length], whole + b"x", whole + whole):
        broken.write_bytes(content)
        with pytest.raises(ValueError, match=r"broken: (not a session file|the session has \d+ bytes)"):
            model.restore_session(str(broken))


def forged(header: bytes, **fields: int) -> bytes:
    """A header with other fields and a right checksum."""
    names = {"version": 8, "kv_type": 12, "context_length": 40, "num_sinks": 44, "num_tokens": 48,
             "num_dropped": 52, "has_logits": 56}  # fmt: skip
    changed = bytearray(header)
    for name, value in fields.items():
        changed[names[name] : names[name] + 4] = (value & 0xFFFFFFFF).to_bytes(4, "little")
    state = 0x9E3779B97F4A7C15
    words = [int.from_bytes(changed[at : at + 8], "little") for at in range(0, 64, 8)]
    for word in (*words, 0, 64):
        state = (state ^ word) * 0xFF51AFD7ED558CCD % 2**64
        state ^= state >> 32
    changed[64:72] = state.to_bytes(8, "little")
    return bytes(changed)


@pytest.mark.parametrize(
    "fields",
    [
        {"version": 2},
        {"kv_type": 2},
        {"context_length": 0},
        {"context_length": -1},
        {"context_length": 2**31 - 1},
        {"num_tokens": -1},
        {"num_tokens": 2**31 - 1},
        {"num_tokens": 65},
        {"num_tokens": 51},
        {"num_dropped": 16},
        {"num_dropped": -16},
        {"num_sinks": 2**30},
        {"num_sinks": 60},
        {"num_sinks": 4, "num_dropped": 48, "num_tokens": 50},
        {"has_logits": 2},
        {"has_logits": 0},
    ],
)
def test_fields_that_lie_are_refused(model: Any, saved: Path, fields: dict[str, int]) -> None:
    whole = saved.read_bytes()
    assert forged(whole[:HEADER_BYTES]) == whole[:HEADER_BYTES]
    broken = saved.with_name("forged")
    broken.write_bytes(forged(whole[:HEADER_BYTES], **fields) + whole[HEADER_BYTES:])
    with pytest.raises(ValueError, match=r"forged: .*; (save|take)|too short to slide"):
        model.restore_session(str(broken))


def test_another_model_is_refused(model: Any, saved: Path, tmp_path: Path) -> None:
    for name, seed, shape in (("seed", 2, TINY), ("shape", 1, TINY.model_copy(update={"num_layers": 3}))):
        write_random_gguf(tmp_path / name, shape, block_type="q8_0", embedding_type="q8_0", seed=seed)
        other = _native.Model.load(str(tmp_path / name))
        with pytest.raises(ValueError, match="belongs to another model or other adapters; load those"):
            other.restore_session(str(saved))
    # The same model elsewhere is the same model.
    copy = tmp_path / "copy.gguf"
    write_random_gguf(copy, TINY, block_type="q8_0", embedding_type="q8_0", seed=1)
    assert _native.Model.load(str(copy)).restore_session(str(saved)).tokens == PROMPT


def test_files_that_are_not_there(model: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        model.restore_session(str(tmp_path / "absent"))
    with pytest.raises(ValueError, match="not a regular file"):
        model.restore_session(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        model.restore_session(str(tmp_path / "pipe"))
    with pytest.raises(FileNotFoundError):
        model.new_session(64).save(str(tmp_path / "no" / "folder"))
    with pytest.raises(IsADirectoryError):
        model.new_session(64).save(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_links_stay_and_devices_are_refused(model: Any, tmp_path: Path) -> None:
    session = model.new_session(64)
    session.prefill(PROMPT)
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept/real")
    for _ in range(2):  # the file is not there, and is
        session.save(str(tmp_path / "link"))
        assert (tmp_path / "link").is_symlink()
        assert model.restore_session(str(tmp_path / "kept" / "real")).tokens == PROMPT
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "null").symlink_to(os.devnull)
    for name in ("pipe", "null"):
        with pytest.raises(ValueError, match=f"{name}: is a device or a pipe; give the path of a file"):
            session.save(str(tmp_path / name))
    (tmp_path / "circle").symlink_to("circle")
    with pytest.raises(OSError, match="symbolic links"):
        session.save(str(tmp_path / "circle"))
    assert stat.S_ISFIFO((tmp_path / "pipe").lstat().st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["circle", "kept", "link", "null", "pipe"]


def test_a_full_disk_leaves_the_old_file(model: Any, saved: Path, tiny_gguf: Path, tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's."""
    path = tmp_path / "a.session"
    path.write_bytes(saved.read_bytes())
    script = f"""
import resource
from phonelm import _native
session = _native.Model.load({str(tiny_gguf)!r}).new_session(64)
session.prefill(list(range(60)))
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    session.save({str(path)!r})
except OSError as error:
    print(error.strerror, error.filename)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout == f"File too large {path}\n"
    assert path.read_bytes() == saved.read_bytes()
    assert list(tmp_path.iterdir()) == [path]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 5000
