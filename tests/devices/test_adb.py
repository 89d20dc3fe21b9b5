"""Phones behind the real adb program: a fake device that runs the Arm program by an emulator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from phone import FakePhone

from phonelm.devices import DeviceGoneError, open_device
from phonelm.profile import DeviceProfile, ProfileConfig, profile_device

pytestmark = pytest.mark.slow


def refused(name: str, program: Path | str | None = None) -> str:
    with pytest.raises(ValueError, match=r"; |try: ") as caught:
        open_device(name, program)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_profile_of_a_phone(make_phone: Any, tiny_plan: ProfileConfig, tmp_path: Path) -> None:
    phone, serial = make_phone()
    with open_device(f"adb:{serial}") as device:
        profile = profile_device(tiny_plan, device=device)
        kernels = device.kernels
    assert profile.machine.model == "Maker Model 9 (SoC 7)"
    assert profile.machine.system == "Linux aarch64"
    assert profile.machine.isas == ["scalar", "neon", "dotprod"]
    assert (profile.isa, profile.kernels) == ("dotprod", kernels)
    assert profile.made["config"]["device"] == f"adb:{serial}"
    profile.save(tmp_path / "phone.json")
    assert DeviceProfile.load(tmp_path / "phone.json") == profile

    # Again: nothing is brought there, nothing is measured.
    pushed, num_lines = list(phone.pushed), len(phone.lines)
    with open_device("adb") as device:
        assert profile_device(tiny_plan, device=device) == profile
    assert phone.pushed == pushed
    assert len(phone.lines) - num_lines < 12


def test_what_the_program_refuses_is_an_answer(make_phone: Any) -> None:
    _, serial = make_phone("max")
    with open_device(f"adb:{serial}") as device:
        assert device.machine().isas == ["scalar", "neon", "dotprod", "i8mm"]
        assert float(device.ask("embed vocab=64 hidden=64 min_ms=0.1")) > 0
        assert device.ask("softmax rows=1").startswith("error: there is no operator 'softmax'")
        assert float(device.ask("embed vocab=64 hidden=64 min_ms=0.1")) > 0
        device.close()


def test_it_goes_away_in_the_middle(make_phone: Any, tiny_plan: ProfileConfig, tmp_path: Path) -> None:
    _, serial = make_phone(unplugs_after=5)
    with (
        open_device(f"adb:{serial}") as device,
        pytest.raises(DeviceGoneError, match=r"went away after [45] answers.* is lost: connect it again"),
    ):
        profile_device(tiny_plan, device=device)
    assert not list((tmp_path / "cache").rglob("*.json"))
    assert refused(f"adb:{serial}")


def test_one_that_is_not_there(make_phone: Any) -> None:
    _, first = make_phone()
    assert f"no device emulator-1 (there: {first} (device))" in refused("adb:emulator-1")
    _, second = make_phone()
    message = refused("adb")
    assert first in message
    assert second in message
    assert "name one, as adb:SERIAL" in message


def test_none_at_all(adb: Any) -> None:
    assert "(there: none); connect one" in refused("adb")


def test_one_that_has_not_allowed_it(make_phone: Any) -> None:
    _, serial = make_phone(authorized=False)
    assert f"adb:{serial} is unauthorized; unlock it" in refused(f"adb:{serial}")


def test_adb_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "adb is not installed" in refused("adb")


def test_no_space_left(make_phone: Any) -> None:
    phone, serial = make_phone(is_full=True)
    assert f"adb:{serial} has no space left in /data/local/tmp/phonelm" in refused(f"adb:{serial}")
    assert not list((phone.folder / "data/local/tmp/phonelm").iterdir())


def test_another_processor(make_phone: Any) -> None:
    _, serial = make_phone(properties={"ro.product.cpu.abi": "armeabi-v7a"})
    assert "is a 'armeabi-v7a' machine" in refused(f"adb:{serial}")
    _, intel = make_phone(properties={"ro.product.cpu.abi": "x86_64"})
    assert "is for aarch64, and the device is x86_64; build one: make cli" in refused(f"adb:{intel}")


def test_a_program_that_does_not_run(make_phone: Any, arm_program: tuple[str, Path], tmp_path: Path) -> None:
    phone, serial = make_phone()
    broken = tmp_path / "phonelm-cli"
    broken.write_bytes(arm_program[1].read_bytes()[:4096])
    assert f"adb:{serial}" in refused(f"adb:{serial}", broken)
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\n")
    assert "is no program for 64-bit Linux" in refused(f"adb:{serial}", script)
    # A new program takes the place of the old one.
    open_device(f"adb:{serial}").close()
    assert [path.name for path in folder_of(phone).iterdir()] == [phone.pushed[-1].rpartition(".")[0]]


def folder_of(phone: FakePhone) -> Path:
    return phone.folder / "data/local/tmp/phonelm"


def test_threads_of_the_profile(make_phone: Any, tiny_plan: ProfileConfig) -> None:
    _, serial = make_phone()
    with open_device(f"adb:{serial}") as device:
        num_cores = device.machine().num_cores
        alone = tiny_plan.model_copy(update={"num_threads": 1})
        profile = profile_device(alone, device=device)
        assert profile.num_threads == 1
        assert profile_device(alone, device=device) == profile
        with pytest.raises(ValueError, match=rf"more than the {num_cores} cores of Maker Model 9"):
            profile_device(tiny_plan.model_copy(update={"num_threads": num_cores + 1}), device=device)


def test_json_of_the_verb(
    make_phone: Any, tiny_plan: ProfileConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    from phonelm.cli.profile import profile

    _, serial = make_phone()
    profile(device=f"adb:{serial}", quick=True, json_=True)
    document = json.loads(capsys.readouterr().out)
    assert document["machine"]["isas"][-1] == "dotprod"
