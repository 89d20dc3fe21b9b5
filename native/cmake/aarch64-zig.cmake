# For phones and boards of 64-bit Arm, with PyPI's ziglang, which brings its own C++ library:
#   pip install ziglang
#   cmake -DPHONELM_ZIG="$(python3 -c 'import ziglang, os; print(os.path.dirname(ziglang.__file__))')/zig" ...
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(PHONELM_ZIG zig CACHE FILEPATH "The program zig")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES PHONELM_ZIG)
set(CMAKE_CXX_COMPILER ${PHONELM_ZIG} c++ -target aarch64-linux-musl)
set(CMAKE_CXX_ARCHIVE_CREATE "${PHONELM_ZIG} ar qc <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_APPEND "${PHONELM_ZIG} ar q <TARGET> <OBJECTS>")
set(CMAKE_CXX_ARCHIVE_FINISH "${PHONELM_ZIG} ranlib <TARGET>")
