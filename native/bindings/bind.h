// What the files of the Python module share.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/filesystem.h>

#include <cstddef>
#include <filesystem>

#include "gguf/gguf.h"

namespace phonelm {

// From Python any path that its file system takes, also of bytes that are no UTF-8.
using Path = std::filesystem::path;

}  // namespace phonelm

// Adds Tokenizer, read_metadata and read_tensors, and the translation of errors for the whole module: Error
// to ValueError, std::system_error to the OSError of its number.
void bind_tokenizer(nanobind::module_& module);
void bind_adapter(nanobind::module_& module);
void bind_sampler(nanobind::module_& module);
void bind_model(nanobind::module_& module);
void bind_observer(nanobind::module_& module);
void bind_bench(nanobind::module_& module);
void bind_operators(nanobind::module_& module);
void bind_kernels(nanobind::module_& module);
void bind_neurons(nanobind::module_& module);
void bind_amx(nanobind::module_& module);
void bind_system(nanobind::module_& module);

// All metadata as a dict; arrays of more than `max_array` elements are left out. Strings that are no UTF-8
// have their bad bytes replaced.
nanobind::dict metadata_to_python(const phonelm::GgufFile& file, size_t max_array = 64);
