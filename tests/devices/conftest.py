"""A fake adb device, a fake ssh, and a profile so small that an emulator can measure it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from native_build import ROOT, arm_target
from phone import FakePhone

from phonelm.profile import ProfileConfig, tables

MakePhone = Callable[..., tuple[FakePhone, str]]
SSH = """#!/bin/sh
# Runs the line here. Words: -T -o OPTION -o OPTION -o OPTION HOST LINE
[ "$8" = board ] || { echo "ssh: Could not resolve hostname $8" >&2; exit 255; }
export HOME=%s; unset XDG_CACHE_HOME
exec /bin/sh -c "$9"
"""
SCP = """#!/bin/sh
# Words: -q -o OPTION -o OPTION -o OPTION SOURCE HOST:TARGET
cp "$8" "${9#*:}"
"""


@pytest.fixture(scope="session")
def arm_program() -> tuple[str, Path]:
    """The emulator, and the static program for 64-bit Arm."""
    return arm_target("phonelm-cli")


@pytest.fixture(scope="session")
def adb_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of an adb server of our own."""
    found = subprocess.run([ROOT / "tools" / "adb.sh"], capture_output=True, text=True)
    if found.returncode != 0:
        pytest.skip(found.stderr.strip())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {
        "PATH": f"{Path(found.stdout.strip()).parent}{os.pathsep}{os.environ['PATH']}",
        "ANDROID_ADB_SERVER_PORT": str(port),
    }
    # The server makes its keys at home.
    server = {**os.environ, **own, "HOME": str(tmp_path_factory.mktemp("adb")), "ADB_MDNS": "0"}
    subprocess.run(
        ["adb", "start-server"], env=server, check=True, capture_output=True, stdin=subprocess.DEVNULL
    )
    yield own
    subprocess.run(["adb", "kill-server"], env=server, check=True, capture_output=True)


@pytest.fixture
def adb(adb_server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    for name, value in adb_server.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> str:
        done = subprocess.run(
            ["adb", *words], capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120
        )
        return done.stdout + done.stderr

    return run


@pytest.fixture
def make_phone(
    adb: Callable[..., str], arm_program: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakePhone]:
    """Makes a phone that adb is connected to; also returns its serial number."""
    monkeypatch.setenv("PHONELM_CLI", str(arm_program[1]))
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PHONELM_ISA", raising=False)
    phones = []

    def make(cpu: str = "cortex-a76", **options: Any) -> tuple[FakePhone, str]:
        folder = tmp_path / f"phone-{len(phones)}"
        phone = FakePhone(folder, [arm_program[0], "-cpu", cpu], **options)
        serial = phone.start()
        phones.append((phone, serial))
        adb("connect", serial)
        return phone, serial

    yield make
    for phone, serial in phones:
        adb("disconnect", serial)
        phone.unplug()


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the host `board`: `ssh` and `scp` on the path run here what they are given."""
    tools, home = tmp_path / "tools", tmp_path / "home"
    tools.mkdir()
    home.mkdir()
    for name, script in (("ssh", SSH % home), ("scp", SCP)):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PHONELM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PHONELM_CLI", raising=False)
    return home


@pytest.fixture
def tiny_plan(monkeypatch: pytest.MonkeyPatch) -> ProfileConfig:
    """A profile of a few small points, measured once: an emulator is slow."""

    def few(*words: Any) -> list[tables.Table]:
        return [
            replace(
                table,
                axes={name: points[:1] for name, points in table.axes.items()},
                words={name: word for name, word in table.words.items() if name != "footprint"},
            )
            for table in tables.cost_tables(*words)
        ]

    small: dict[str, Any] = {
        "profile.SMALL_BUFFER": 2**16,
        "profile.LARGE_BUFFER": 2**18,
        "profile.QUICK_S": 0.0,
        "profile.FULL_S": 0.0,
        "profile.last_cache_bytes": lambda _: 2**18,
        "profile.probe_bytes": lambda _: 2**16,
        "profile.cost_tables": few,
        "conditions._MATRIX": "type=q8_0 rows=32 cols=64 tokens=16",
        "conditions._MATRIX_OPS": 2.0 * 32 * 64 * 16,
    }
    for name, value in small.items():
        monkeypatch.setattr(f"phonelm.profile.{name}", value)
    return ProfileConfig()
