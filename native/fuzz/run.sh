#!/bin/sh
# Builds the fuzzers and runs each for some seconds, beginning with its corpus.
#   native/fuzz/run.sh [SECONDS] [HARNESS...]
# With clang's libFuzzer: the system's, or one unpacked into PhoneLM's cache folder. Where neither is to be had,
# the same harnesses run under gcc's sanitizers with a driver that replays the corpus and random changes of it.
# PHONELM_FUZZ_CXX names another compiler; inputs found on the way are kept in build/fuzz/inputs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
build=$repository/build/fuzz
tools=${PHONELM_CACHE:-$HOME/.cache/phonelm}/tools/clang
seconds=${1:-20}
[ $# -eq 0 ] || shift
harnesses=${*:-fuzz_gguf fuzz_model fuzz_text}
PATH=$repository/.venv/bin:$PATH

has_libfuzzer() {
  echo 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }' |
    "$1" -x c++ - -fsanitize=fuzzer,address,undefined -o "$build/probe" >/dev/null 2>&1
}

# Prints the first compiler that links libFuzzer.
find_clang() {
  for compiler in ${PHONELM_FUZZ_CXX:-clang++ clang++-21 clang++-20 clang++-19 clang++-18 clang++-17 clang++-16 \
    clang++-15 clang++-14} "$tools"/root/usr/lib/llvm-*/bin/clang++; do
    ! has_libfuzzer "$compiler" || { echo "$compiler"; return; }
  done
  return 1
}

fetch_clang() {
  # Up to version 15 the sanitizers come with the compiler's common files.
  for version in 19 18 16 15 14; do
    runtime=libclang-rt-$version-dev
    [ $version -ge 16 ] || runtime=libclang-common-$version-dev
    "$repository/tools/debian_packages.sh" "$tools" "clang-$version" "$runtime" >"$build/fetch.log" 2>&1 && return
  done
  return 1
}

# What was unpacked finds its libraries there.
for folder in "$tools"/root/usr/lib/*-linux-gnu "$tools"/root/usr/lib/llvm-*/lib; do
  [ ! -d "$folder" ] || LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
done
[ -z "${LD_LIBRARY_PATH:-}" ] || export LD_LIBRARY_PATH

mkdir -p "$build"
if compiler=$(find_clang); then
  with_libfuzzer=ON
elif [ -z "${PHONELM_FUZZ_CXX:-}" ] && fetch_clang && [ "${PHONELM_FETCHED:-}" != 1 ]; then
  PHONELM_FETCHED=1 exec "$0" "$seconds" $harnesses
else
  compiler=${PHONELM_FUZZ_CXX:-c++}
  with_libfuzzer=OFF
  echo "no clang with libFuzzer: $compiler, the corpus and random changes of it instead"
fi
cmake -S "$here" -B "$build/$with_libfuzzer" -G Ninja -DCMAKE_CXX_COMPILER="$compiler" \
  -DPHONELM_LIBFUZZER=$with_libfuzzer >"$build/cmake.log" || { cat "$build/cmake.log" >&2; exit 1; }
cmake --build "$build/$with_libfuzzer" --parallel "${NINJA_JOBS:-2}" >"$build/build.log" ||
  { tail -40 "$build/build.log" >&2; exit 1; }

export UBSAN_OPTIONS=print_stacktrace=1
for harness in $harnesses; do
  inputs=$build/inputs/$harness
  mkdir -p "$inputs"
  cd "$inputs/.."
  if [ $with_libfuzzer = ON ]; then
    dictionary=
    [ "$harness" = fuzz_text ] || dictionary=-dict=$here/gguf.dict
    "$build/ON/$harness" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=65536 \
      -artifact_prefix="$inputs/../$harness-" -print_final_stats=1 $dictionary "$inputs" "$here/corpus/$harness" \
      >"$inputs.log" 2>&1 || { tail -60 "$inputs.log" >&2; exit 1; }
    echo "$harness: $(awk '/number_of_executed_units/ { print $2 }' "$inputs.log") inputs, nothing found"
  else
    printf '%s: ' "$harness"
    "$build/OFF/$harness" -seconds="$seconds" "$here/corpus/$harness"
  fi
done
