"""phonelm-cli for 64-bit Arm, run by an emulator of several processors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from native_build import arm_target, program_folder
from programs import Program


@pytest.fixture(scope="session")
def native() -> Program:
    """The same program on this machine."""
    return Program((str(program_folder() / "phonelm-cli"),))


@pytest.fixture(scope="session")
def emulated() -> Callable[[str], Program]:
    """The program on a processor of a name."""
    qemu, program = arm_target("phonelm-cli")
    return lambda cpu: Program((qemu, "-cpu", cpu, str(program)))
