#include "gguf/split.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <limits>

#include "core/error.h"
#include "core/printable.h"

namespace phonelm {
namespace {

constexpr const char* kNumber = "split.no";
constexpr const char* kCount = "split.count";
constexpr const char* kNumTensors = "split.tensors.count";

// Where a file stands among the parts of its model; a whole one is the only part.
struct Place {
  int64_t number = 0;
  int64_t count = 1;
  bool operator==(const Place&) const = default;
};

std::string in_words(const Place& place) {
  return "part " + std::to_string(place.number + 1) + " of " + std::to_string(place.count);
}

[[noreturn]] void refuse(const std::string& path, const std::string& problem) {
  throw Error(printable(path) + ": " + problem);
}

Place place_of(const GgufPart& part) {
  constexpr int64_t kMaxParts = std::numeric_limits<uint16_t>::max();
  const int64_t count = find_integer(part.metadata(), kCount, part.path()).value_or(0);
  if (count == 0 || count == 1) return {};
  const int64_t number = find_integer(part.metadata(), kNumber, part.path()).value_or(0);
  if (count < 0 || count > kMaxParts || number < 0 || number >= count) {
    refuse(part.path(), std::string(kNumber) + " is " + std::to_string(number) + " and " + kCount + " " +
                            std::to_string(count) + "; the file is damaged, get it again");
  }
  return {number, count};
}

std::string suffix_of(const Place& place) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "-%05lld-of-%05lld.gguf", static_cast<long long>(place.number + 1),
                static_cast<long long>(place.count));
  return text.data();
}

// The path of another part, by the name of the one at `path`.
std::string sibling_path(const std::string& path, const Place& place, const Place& other) {
  const std::string suffix = suffix_of(place);
  if (!path.ends_with(suffix)) {
    refuse(path, "is " + in_words(place) + " of a split model, but its name does not end in " + suffix +
                     ", so that the others are not found; give the parts their names back, or join them "
                     "where they have them: gguf-split --merge");
  }
  return path.substr(0, path.size() - suffix.size()) + suffix_of(other);
}

std::unique_ptr<GgufPart> open_sibling(const std::string& path, const Place& place, const Place& other) {
  const std::string name = sibling_path(path, place, other);
  try {
    auto part = std::make_unique<GgufPart>(name);
    if (place_of(*part) == other) return part;
    refuse(name, "is " + in_words(place_of(*part)) + " by its metadata and " + in_words(other) +
                     " by its name; get the parts of the split model again");
  } catch (const FileError& error) {
    if (error.code().value() != ENOENT) throw;
    refuse(path, "is " + in_words(place) + " of a split model, and " + printable(name) +
                     " is not there; put all parts into one folder");
  }
}

void check_num_tensors(const std::vector<std::unique_ptr<GgufPart>>& parts) {
  const GgufPart& first = *parts.front();
  const auto expected = find_integer(first.metadata(), kNumTensors, first.path());
  int64_t found = 0;
  for (const auto& part : parts) found += static_cast<int64_t>(part->tensors().size());
  if (!expected || *expected == found) return;
  refuse(first.path(), "the parts of the split model hold " + std::to_string(found) + " tensors, not the " +
                           std::to_string(*expected) + " of " + kNumTensors + "; get them again");
}

}  // namespace

std::vector<std::unique_ptr<GgufPart>> open_parts(const std::string& path) {
  std::vector<std::unique_ptr<GgufPart>> parts;
  auto given = std::make_unique<GgufPart>(path);
  const Place place = place_of(*given);
  for (int64_t number = 0; number < place.count; ++number) {
    const bool is_given = number == place.number;
    parts.push_back(is_given ? std::move(given) : open_sibling(path, place, {number, place.count}));
  }
  if (place.count > 1) check_num_tensors(parts);
  return parts;
}

}  // namespace phonelm
