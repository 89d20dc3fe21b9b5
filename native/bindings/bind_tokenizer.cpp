#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <cerrno>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "bindings/bind.h"
#include "core/error.h"
#include "gguf/gguf.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/tokenizer.h"

namespace nb = nanobind;
using namespace nb::literals;

namespace phonelm {
namespace {

// A file's strings and names need not be UTF-8.
nb::object to_str(std::string_view text) {
  return nb::steal(PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
}

void set_os_error(const std::system_error& error) {
  const auto* file_error = dynamic_cast<const FileError*>(&error);
  errno = error.code().value();
  if (file_error == nullptr) {
    PyErr_SetFromErrno(PyExc_OSError);
  } else {
    PyErr_SetFromErrnoWithFilename(PyExc_OSError, file_error->path().c_str());
  }
}

void translate_error(const std::exception_ptr& pointer, void*) {
  try {
    std::rethrow_exception(pointer);
  } catch (const Error& error) {
    PyErr_SetObject(PyExc_ValueError, to_str(error.what()).ptr());
  } catch (const std::system_error& error) {
    set_os_error(error);
  }
}

template <class T>
constexpr bool kIsVector = false;
template <class T>
constexpr bool kIsVector<std::vector<T>> = true;

template <class T>
nb::object to_python(const T& value) {
  if constexpr (kIsVector<T>) {
    nb::list list;
    for (const typename T::value_type& element : value)
      list.append(to_python<typename T::value_type>(element));
    return list;
  } else if constexpr (std::is_same_v<T, std::string>) {
    return to_str(value);
  } else {
    return nb::cast(value);
  }
}

size_t array_length(const MetaValue& value) {
  return std::visit(
      []<class T>(const T& kept) -> size_t {
        if constexpr (kIsVector<T>) {
          return kept.size();
        } else {
          return 0;
        }
      },
      value);
}

nb::list read_tensors(const Path& path) {
  nb::list list;
  for (const auto file = GgufFile::open(path.string()); const TensorInfo& tensor : file->tensors()) {
    nb::dict entry;
    entry["name"] = to_str(tensor.name);
    entry["type"] = tensor_type_name(tensor.type);
    entry["shape"] = std::vector<uint64_t>(tensor.dims.begin(), tensor.dims.begin() + tensor.num_dims);
    entry["offset"] = tensor.offset;
    entry["num_bytes"] = tensor.num_bytes;
    list.append(entry);
  }
  return list;
}

// The bytes of a str (as UTF-8) or bytes object; they live as long as the object.
std::string_view text_view(nb::handle text) {
  Py_ssize_t size = 0;
  if (PyUnicode_Check(text.ptr())) {
    const char* data = PyUnicode_AsUTF8AndSize(text.ptr(), &size);
    if (data == nullptr) nb::raise_python_error();
    return {data, static_cast<size_t>(size)};
  }
  char* data = nullptr;
  if (PyBytes_AsStringAndSize(text.ptr(), &data, &size) != 0) nb::raise_python_error();
  return {data, static_cast<size_t>(size)};
}

std::vector<int32_t> encode(const Tokenizer& tokenizer, nb::handle text, bool parse_special,
                            const std::vector<std::pair<size_t, size_t>>& plain) {
  constexpr size_t kLongText = 4096;  // below, letting the interpreter go costs more than it gives
  const std::string_view view = text_view(text);
  std::optional<nb::gil_scoped_release> release;
  if (view.size() >= kLongText) release.emplace();
  if (!parse_special || plain.empty()) return tokenizer.encode(view, parse_special);
  std::vector<TextRange> ranges;
  for (const auto& [begin, end] : plain) ranges.push_back({begin, end});
  return tokenizer.encode_around(view, ranges);
}

nb::bytes to_bytes(const std::string& bytes) { return nb::bytes(bytes.data(), bytes.size()); }

nb::list control_texts(const Tokenizer& tokenizer) {
  nb::list list;
  for (const std::string& text : tokenizer.control_texts()) list.append(to_bytes(text));
  return list;
}

std::unique_ptr<Tokenizer> from_gguf(const Path& path) {
  const nb::gil_scoped_release release;
  return Tokenizer::from_gguf(*GgufFile::open(path.string()));
}

}  // namespace
}  // namespace phonelm

nb::dict metadata_to_python(const phonelm::GgufFile& file, size_t max_array) {
  nb::dict dict;
  for (const auto& [key, value] : file.metadata()) {
    if (phonelm::array_length(value) > max_array) continue;
    dict[phonelm::to_str(key)] = std::visit([](const auto& kept) { return phonelm::to_python(kept); }, value);
  }
  return dict;
}

void bind_tokenizer(nb::module_& module) {
  using phonelm::Tokenizer;
  nb::register_exception_translator(phonelm::translate_error);

  nb::class_<Tokenizer>(module, "Tokenizer", "Tokenizer of a GGUF file: byte-level BPE, or SentencePiece's.")
      .def_static(
          "from_gguf", &phonelm::from_gguf, "path"_a,
          "Read the tokenizer of a GGUF file. OSError: not readable; ValueError: damaged or not supported.")
      .def_prop_ro("vocab_size", &Tokenizer::vocab_size)
      .def_prop_ro("bos_id", &Tokenizer::bos_id, "-1 when there is none.")
      .def_prop_ro("eos_id", &Tokenizer::eos_id, "-1 when there is none.")
      .def_prop_ro("add_bos", &Tokenizer::add_bos, "Whether the model expects bos_id before a text.")
      .def_prop_ro("add_eos", &Tokenizer::add_eos,
                   "Whether the model was trained with eos_id after each text.")
      .def_prop_ro("add_space_prefix", &Tokenizer::add_space_prefix, "Whether encode puts a space in front.")
      .def_prop_ro("stop_ids", &Tokenizer::stop_ids, "Tokens that end a sequence or a turn.")
      .def("encode", &phonelm::encode, "text"_a, "parse_special"_a = false,
           "plain"_a = std::vector<std::pair<size_t, size_t>>(),
           nb::sig("def encode(self, text: str | bytes, parse_special: bool = False, "
                   "plain: list[tuple[int, int]] = []) -> list[int]"),
           "Tokens of a text, without bos_id. With parse_special, the texts of control tokens become those "
           "tokens, but where they have a byte in one of the ranges of plain (sorted, disjoint).")
      .def_prop_ro("control_texts", &phonelm::control_texts,
                   "Texts of control and unknown tokens, bytes; only parse_special turns them into tokens.")
      .def(
          "decode",
          [](const Tokenizer& self, const std::vector<int32_t>& ids, bool with_special) {
            return phonelm::to_bytes(self.decode(ids, with_special));
          },
          "ids"_a, "with_special"_a = false,
          "Bytes of tokens, UTF-8 that may be cut. ValueError: no such token.")
      .def(
          "token_bytes",
          [](const Tokenizer& self, int32_t id, bool with_special) {
            return phonelm::to_bytes(self.token_bytes(id, with_special));
          },
          "id"_a, "with_special"_a = false, "Bytes of one token, empty for special ones unless with_special.")
      .def("is_special", &Tokenizer::is_special, "id"_a, "Whether it is a control, unknown or unused token.");

  module.def(
      "read_metadata",
      [](const phonelm::Path& path) { return metadata_to_python(*phonelm::GgufFile::open(path.string())); },
      "path"_a, "Metadata of a GGUF file, without arrays of more than 64 elements.");
  module.def(
      "first_pre_tokenizer_name",
      [](const std::string& name) { return std::string(phonelm::first_pre_tokenizer_name(name)); }, "name"_a,
      "The first of the names that tokenizer.ggml.pre has for one rule; empty: not known.");
  module.def("read_tensors", &phonelm::read_tensors, "path"_a,
             "Tensors of a GGUF file: name, type, shape (columns first), offset and num_bytes in the file.");
}
