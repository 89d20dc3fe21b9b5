#include "gguf/metadata.h"

#include <limits>
#include <type_traits>
#include <utility>

#include "gguf/cursor.h"

namespace phonelm {
namespace {

// Numbers as in ggml's `enum gguf_type`.
enum class ValueType : uint32_t {
  kUint8 = 0,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64,
  kFloat64
};

template <class T>
struct Tag {
  using type = T;
};

// Calls `visit` with a Tag of the C++ type in the file; `otherwise` for arrays and for what is no type.
template <class Visit, class Otherwise>
MetaValue visit_type(ValueType type, Visit visit, Otherwise otherwise) {
  switch (type) {
    case ValueType::kUint8:
      return visit(Tag<uint8_t>());
    case ValueType::kInt8:
      return visit(Tag<int8_t>());
    case ValueType::kUint16:
      return visit(Tag<uint16_t>());
    case ValueType::kInt16:
      return visit(Tag<int16_t>());
    case ValueType::kUint32:
      return visit(Tag<uint32_t>());
    case ValueType::kInt32:
      return visit(Tag<int32_t>());
    case ValueType::kUint64:
      return visit(Tag<uint64_t>());
    case ValueType::kInt64:
      return visit(Tag<int64_t>());
    case ValueType::kFloat32:
      return visit(Tag<float>());
    case ValueType::kFloat64:
      return visit(Tag<double>());
    case ValueType::kBool:
      return visit(Tag<bool>());
    case ValueType::kString:
      return visit(Tag<std::string>());
    case ValueType::kArray:
      break;
  }
  return otherwise();
}

// What a value of the file is kept as.
template <class T>
using Kept = std::conditional_t<std::is_same_v<T, bool> || std::is_same_v<T, std::string>, T,
                                std::conditional_t<std::is_floating_point_v<T>, double, int64_t>>;

template <class T>
constexpr size_t kMinBytes = std::is_same_v<T, std::string> ? sizeof(uint64_t) : sizeof(T);

template <class T>
T read_value(Cursor& cursor, const std::string& what) {
  if constexpr (std::is_same_v<T, std::string>) {
    return cursor.read_string(what);
  } else if constexpr (std::is_same_v<T, bool>) {
    const auto byte = cursor.read<uint8_t>(what);
    if (byte > 1) cursor.fail(what + " is " + std::to_string(byte) + ", neither true nor false");
    return byte == 1;
  } else {
    return cursor.read<T>(what);
  }
}

template <class T>
MetaValue read_array(Cursor& cursor, const std::string& what) {
  const size_t count = cursor.read_count(kMinBytes<T>, what);
  std::vector<Kept<T>> values;
  values.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const T value = read_value<T>(cursor, what);
    if constexpr (std::is_same_v<T, uint64_t>) {
      constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
      if (value > kMax) cursor.fail(what + " has a number beyond 2^63");
    }
    values.push_back(static_cast<Kept<T>>(value));
  }
  return values;
}

template <class T>
MetaValue read_scalar(Cursor& cursor, const std::string& what) {
  const T value = read_value<T>(cursor, what);
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) return value;
  }
  return static_cast<Kept<T>>(value);
}

// A value (its type first) that follows `key`.
MetaValue read_meta_value(Cursor& cursor, const std::string& key) {
  const std::string what = "metadata key " + quoted(key);
  const auto type = static_cast<ValueType>(cursor.read<uint32_t>(what));
  const auto refuse = [&](ValueType wrong) -> MetaValue {
    if (wrong == ValueType::kArray) {
      cursor.refuse(what + " is an array of arrays, which is not supported; convert the model without it");
    }
    cursor.fail(what + " has the unknown type " + std::to_string(static_cast<uint32_t>(wrong)));
  };
  if (type != ValueType::kArray) {
    return visit_type(
        type, [&]<class T>(Tag<T>) { return read_scalar<T>(cursor, what); }, [&] { return refuse(type); });
  }
  const auto element = static_cast<ValueType>(cursor.read<uint32_t>(what));
  return visit_type(
      element, [&]<class T>(Tag<T>) { return read_array<T>(cursor, what); }, [&] { return refuse(element); });
}

}  // namespace

Metadata read_metadata(Cursor& cursor, size_t num_keys) {
  Metadata metadata;
  metadata.reserve(num_keys);
  for (size_t i = 0; i < num_keys; ++i) {
    std::string key = cursor.read_string("the name of a metadata key");
    if (key.empty()) cursor.fail("a metadata key has no name");
    MetaValue value = read_meta_value(cursor, key);
    const auto [place, is_new] = metadata.try_emplace(std::move(key), std::move(value));
    if (!is_new) cursor.fail("metadata key " + quoted(place->first) + " is there twice");
  }
  return metadata;
}

std::optional<int64_t> find_integer(const Metadata& metadata, std::string_view key, const std::string& path) {
  const auto* value = find_value<int64_t>(metadata, key, "an integer (below 2^63)", path);
  return value == nullptr ? std::nullopt : std::optional(*value);
}

}  // namespace phonelm
