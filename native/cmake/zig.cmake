# For other systems and older ones, with PyPI's ziglang, which brings their C and C++ libraries:
#   pip install ziglang
#   cmake -DCMAKE_TOOLCHAIN_FILE=native/cmake/zig.cmake -DPHONELM_TARGET=aarch64-linux-musl \
#     -DPHONELM_ZIG="$(python3 -c 'import ziglang, os; print(os.path.dirname(ziglang.__file__))')/zig" ...
# A target is a processor, a system and its C library: x86_64-linux-gnu.2.28 (that version or any later one),
# aarch64-macos, x86_64-windows-gnu.
set(PHONELM_ZIG zig CACHE FILEPATH "The program zig")
set(PHONELM_TARGET aarch64-linux-musl CACHE STRING "The target, in zig's words")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PHONELM_ZIG PHONELM_TARGET)

string(REPLACE "-" ";" target_words "${PHONELM_TARGET}")
list(GET target_words 0 CMAKE_SYSTEM_PROCESSOR)
list(GET target_words 1 target_system)
set(systems_linux Linux)
set(systems_macos Darwin)
set(systems_windows Windows)
set(CMAKE_SYSTEM_NAME ${systems_${target_system}})
if(NOT CMAKE_SYSTEM_NAME)
  message(FATAL_ERROR "PHONELM_TARGET=${PHONELM_TARGET}: the system is linux, macos or windows")
endif()

set(CMAKE_CXX_COMPILER ${PHONELM_ZIG} c++ -target ${PHONELM_TARGET})
set(CMAKE_CXX_ARCHIVE_CREATE "${PHONELM_ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "${PHONELM_ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "${PHONELM_ZIG} ranlib <TARGET>")
# Without -O zig would watch for undefined behaviour, with a library that not every target has.
set(CMAKE_CXX_FLAGS_INIT -fno-sanitize=undefined)
