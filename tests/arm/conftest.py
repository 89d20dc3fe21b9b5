"""phonelm-cli for 64-bit Arm, run by an emulator of several processors."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest
from native_build import ROOT, built, program_folder
from programs import Program


@pytest.fixture(scope="session")
def native() -> Program:
    """The same program on this machine."""
    return Program((str(program_folder() / "phonelm-cli"),))


@pytest.fixture(scope="session")
def emulated() -> Callable[[str], Program]:
    """The program on a processor of a name."""
    tools = subprocess.run([ROOT / "tools" / "arm_toolchain.sh"], capture_output=True, text=True)
    if tools.returncode != 0:
        pytest.skip(tools.stderr.strip())
    compiler_folder, qemu = tools.stdout.split("\n")[:2]
    toolchain = ROOT / "native" / "cmake" / "aarch64-linux-gnu.cmake"
    options = (f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", "-DPHONELM_STATIC=ON")
    folder = built("arm", *options, targets=("phonelm-cli",), path=compiler_folder)
    return lambda cpu: Program((qemu, "-cpu", cpu, str(folder / "phonelm-cli")))
