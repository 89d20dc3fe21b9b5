#include "tokenizer/text_index.h"

#include <bit>
#include <cstring>

namespace phonelm {
namespace {

uint64_t mixed(uint64_t hash, uint64_t word) {
  hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
  return hash ^ hash >> 29;
}

// Eight bytes per step.
uint64_t hash_of(std::string_view text) {
  uint64_t hash = mixed(0, text.size());
  const char* data = text.data();
  size_t left = text.size();
  for (; left > 8; left -= 8, data += 8) {
    uint64_t word;
    std::memcpy(&word, data, sizeof word);
    hash = mixed(hash, word);
  }
  uint64_t word = 0;
  std::memcpy(&word, data, left);
  return mixed(mixed(hash, word), 0);
}

}  // namespace

TextIndex::TextIndex(size_t num_texts)
    : slots_(std::bit_ceil(2 * num_texts + 2)),
      shift_(64 - static_cast<unsigned>(std::countr_zero(slots_.size()))) {}

size_t TextIndex::slot_of(std::string_view text, uint64_t hash) const {
  const auto is_text = [&](const Slot& slot) {
    return slot.tag == static_cast<uint32_t>(hash) && std::string_view(slot.data, slot.size) == text;
  };
  size_t i = hash >> shift_;
  while (slots_[i].id != kNone && !is_text(slots_[i])) i = (i + 1) & (slots_.size() - 1);
  return i;
}

int32_t TextIndex::insert(std::string_view text, int32_t id) {
  const uint64_t hash = hash_of(text);
  Slot& slot = slots_[slot_of(text, hash)];
  if (slot.id != kNone) return slot.id;
  slot = {text.data(), static_cast<uint32_t>(text.size()), static_cast<uint32_t>(hash), id};
  return kNone;
}

int32_t TextIndex::find(std::string_view text) const { return slots_[slot_of(text, hash_of(text))].id; }

}  // namespace phonelm
