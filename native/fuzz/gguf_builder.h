// Small GGUF files in memory, for harnesses with a fixed vocabulary.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace phonelm::fuzz {

class GgufBuilder {
 public:
  void add(std::string_view key, std::string_view text) {
    begin(key, kString);
    put_text(text);
  }
  void add_flag(std::string_view key, bool value) {
    begin(key, kBool);
    put(static_cast<uint8_t>(value));
  }
  void add(std::string_view key, const std::vector<std::string>& texts) {
    begin_array(key, kString, texts.size());
    for (const std::string& text : texts) put_text(text);
  }
  void add(std::string_view key, const std::vector<int32_t>& values) { add_numbers(key, kInt32, values); }
  void add(std::string_view key, const std::vector<float>& values) { add_numbers(key, kFloat32, values); }

  // The whole file: no tensors.
  std::string bytes() const {
    GgufBuilder head;
    head.bytes_ = "GGUF";
    head.put(uint32_t{3});
    head.put(uint64_t{0});
    head.put(num_keys_);
    return head.bytes_ + bytes_;
  }

 private:
  static constexpr uint32_t kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8, kArray = 9;

  template <class T>
  void put(T value) {
    char raw[sizeof(T)];
    std::memcpy(raw, &value, sizeof(T));
    bytes_.append(raw, sizeof(T));
  }
  void put_text(std::string_view text) {
    put(uint64_t{text.size()});
    bytes_.append(text);
  }
  void begin(std::string_view key, uint32_t type) {
    put_text(key);
    put(type);
    ++num_keys_;
  }
  void begin_array(std::string_view key, uint32_t type, size_t size) {
    begin(key, kArray);
    put(type);
    put(uint64_t{size});
  }
  template <class T>
  void add_numbers(std::string_view key, uint32_t type, const std::vector<T>& values) {
    begin_array(key, type, values.size());
    for (const T value : values) put(value);
  }

  std::string bytes_;
  uint64_t num_keys_ = 0;
};

}  // namespace phonelm::fuzz
