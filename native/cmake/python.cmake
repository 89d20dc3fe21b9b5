# Python's module, phonelm._native.
find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
execute_process(COMMAND "${Python_EXECUTABLE}" -m nanobind --cmake_dir
                OUTPUT_STRIP_TRAILING_WHITESPACE OUTPUT_VARIABLE nanobind_ROOT)
find_package(nanobind CONFIG REQUIRED)

file(GLOB binding_sources CONFIGURE_DEPENDS bindings/*.cpp)
nanobind_add_module(_native NB_STATIC ${binding_sources})
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  # For the tests of machines without AMX.
  target_sources(_native PRIVATE kernels/amx/emulated.cpp)
  set_source_files_properties(kernels/amx/emulated.cpp PROPERTIES COMPILE_OPTIONS "-O3;${avx512_flags}")
endif()
target_link_libraries(_native PRIVATE phonelm_core)
target_compile_options(_native PRIVATE -Wall -Wextra $<$<BOOL:${PHONELM_WERROR}>:-Werror>)
install(TARGETS _native LIBRARY DESTINATION phonelm)
