"""The program that compares every kernel with the scalar one, on this machine and on emulated Arm cores."""

from __future__ import annotations

import os
import subprocess

import pytest
from native_build import arm_target, built

from phonelm import _native

# The tables of a core, fastest last.
CORES = {"cortex-a53": ["neon"], "cortex-a76": ["neon", "dotprod"], "max": ["neon", "dotprod", "i8mm"]}


def compare(command: list[str], num_cases: int) -> list[str]:
    """Runs the comparison; the names of the tables it compared, the scalar one first."""
    result = subprocess.run([*command, str(num_cases)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return list(dict.fromkeys(line.split(":")[0] for line in result.stdout.splitlines()))


def choose(command: list[str], name: str) -> tuple[int, str]:
    environment = {**os.environ, "PHONELM_ISA": name}
    result = subprocess.run([*command, "choose"], capture_output=True, text=True, env=environment)
    return result.returncode, result.stdout.strip()


@pytest.mark.slow
def test_kernels_of_this_machine_under_sanitizers() -> None:
    folder = built("sanitize", "-DPHONELM_SANITIZE=ON", targets=("kernel_check",))
    tables = compare([str(folder / "kernel_check")], num_cases=30)
    assert tables == _native.cpu_info()["isas"]


def on_core(core: str) -> list[str]:
    emulator, program = arm_target("kernel_check")
    return [emulator, "-cpu", core, str(program)]


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_kernels_of_arm_cores(core: str) -> None:
    assert compare(on_core(core), num_cases=15) == ["scalar", *CORES[core]]


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_arm_cores_take_their_fastest_table_and_no_other_by_force(core: str) -> None:
    command = on_core(core)
    assert choose(command, "") == (0, CORES[core][-1])
    for name in CORES["max"]:
        code, text = choose(command, name)
        if name in CORES[core]:
            assert (code, text) == (0, name)
        else:
            assert code == 2
            assert text.endswith("take one of: " + ", ".join(["scalar", *CORES[core]]))
