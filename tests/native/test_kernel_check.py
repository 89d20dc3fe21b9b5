"""The program that compares every kernel with the scalar one, on this machine and on emulated Arm cores."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from phonelm import _native

ROOT = Path(__file__).parents[2]
COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64-static"
# What a core has beyond the table before it.
CORES = {"cortex-a53": ["neon"], "cortex-a76": ["neon", "dotprod"], "max": ["neon", "dotprod", "i8mm"]}


def build(folder: Path, *options: str) -> Path:
    """The program kernel_check, built in `folder` with CMake's `options`."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("no cmake")
    configure = [cmake, "-S", str(ROOT / "native"), "-B", str(folder), "-DPHONELM_PYTHON=OFF"]
    subprocess.run([*configure, *options], check=True, capture_output=True)
    target = ["--target", "kernel_check", "--parallel", str(os.cpu_count())]
    subprocess.run([cmake, "--build", str(folder), *target], check=True, capture_output=True)
    return folder / "kernel_check"


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
def test_kernels_of_this_machine_under_sanitizers(tmp_path: Path) -> None:
    program = build(tmp_path, "-DPHONELM_SANITIZE=ON")
    tables = compare([str(program)], num_cases=30)
    assert tables == _native.cpu_info()["isas"]


@pytest.fixture(scope="module")
def arm_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for tool in (COMPILER, EMULATOR):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool}")
    toolchain = ROOT / "native/cmake/aarch64-linux-gnu.cmake"
    folder = tmp_path_factory.mktemp("arm")
    return build(folder, f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", "-DPHONELM_STATIC=ON", "-DPHONELM_WERROR=ON")


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_kernels_of_arm_cores(arm_program: Path, core: str) -> None:
    command = [EMULATOR, "-cpu", core, str(arm_program)]
    assert compare(command, num_cases=15) == ["scalar", *CORES[core]]


@pytest.mark.slow
@pytest.mark.parametrize("core", CORES)
def test_arm_cores_take_their_fastest_table_and_no_other_by_force(arm_program: Path, core: str) -> None:
    command = [EMULATOR, "-cpu", core, str(arm_program)]
    assert choose(command, "") == (0, CORES[core][-1])
    for name in CORES["max"]:
        code, text = choose(command, name)
        if name in CORES[core]:
            assert (code, text) == (0, name)
        else:
            assert code == 2
            assert text.endswith("take one of: " + ", ".join(["scalar", *CORES[core]]))
