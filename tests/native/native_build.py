"""Builds of the native core for tests that run it outside Python.

Each has a folder under build/, in which only what has changed is built again.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def built(name: str, *options: str, targets: tuple[str, ...] = (), path: str = "") -> Path:
    """Return the folder build/NAME, up to date; skip the test where there is no compiler or no CMake.

    `path` goes in front of PATH.
    """
    return _built(name, options, targets, path)


@functools.cache
def _built(name: str, options: tuple[str, ...], targets: tuple[str, ...], path: str) -> Path:
    cmake, ninja = _tool("cmake"), _tool("ninja")
    folder = ROOT / "build" / name
    environment = {**os.environ, "PATH": os.pathsep.join(filter(None, [path, os.environ.get("PATH")]))}
    options = (f"-DCMAKE_MAKE_PROGRAM={ninja}", "-DPHONELM_PYTHON=OFF", "-DPHONELM_PROGRAM=ON", *options)
    _run([cmake, "-S", ROOT / "native", "-B", folder, "-G", "Ninja", *options], environment)
    wanted = [word for target in targets for word in ("--target", target)]
    _run([cmake, "--build", folder, "--parallel", os.environ.get("NINJA_JOBS", "2"), *wanted], environment)
    return folder


def program_folder() -> Path:
    """libphonelm and a static phonelm-cli of this machine."""
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler")
    return built("program", "-DPHONELM_STATIC=ON")


def arm_target(target: str) -> tuple[str, Path]:
    """The emulator of 64-bit Arm, and the path of a static program for it."""
    tools = subprocess.run([ROOT / "tools" / "arm_toolchain.sh"], capture_output=True, text=True)
    if tools.returncode != 0:
        pytest.skip(tools.stderr.strip())
    compiler_folder, emulator = tools.stdout.split("\n")[:2]
    toolchain = ROOT / "native" / "cmake" / "aarch64-linux-gnu.cmake"
    options = (f"-DCMAKE_TOOLCHAIN_FILE={toolchain}", "-DPHONELM_STATIC=ON")
    return emulator, built("arm", *options, targets=(target,), path=compiler_folder) / target


def windows_command() -> list[str]:
    """Wine and the phonelm-cli of Windows; skip the test where there is no wine or no zig."""
    wine = shutil.which("wine64") or shutil.which("wine")
    zig = importlib.util.find_spec("ziglang")
    if wine is None or zig is None or not zig.submodule_search_locations:
        pytest.skip("needs wine and PyPI's ziglang (make cross-check)")
    compiler = Path(zig.submodule_search_locations[0]) / "zig"
    toolchain = ROOT / "native" / "cmake" / "zig.cmake"
    options = ("-DPHONELM_TARGET=x86_64-windows-gnu", f"-DPHONELM_ZIG={compiler}", "-DPHONELM_WERROR=ON")
    options = (*options, "-DPHONELM_OPTIMIZE=-O0", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}")
    return [wine, str(built("x86_64-windows-gnu", *options) / "phonelm-cli.exe")]


def _tool(name: str) -> str:
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.is_file() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def _run(command: list[object], environment: dict[str, str]) -> None:
    run = subprocess.run([str(word) for word in command], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
