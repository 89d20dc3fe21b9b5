#include "tools/stop_texts.h"

#include <algorithm>
#include <utility>

#include "tools/arguments.h"

namespace phonelm::cli {

StopTexts::StopTexts(std::vector<std::string> texts) : texts_(std::move(texts)) {
  if (std::ranges::any_of(texts_, &std::string::empty)) throw UsageError("--stop is an empty text");
}

std::string StopTexts::feed(std::string_view piece) {
  if (is_met_) return "";
  held_ += piece;
  size_t first = std::string::npos;
  for (const std::string& text : texts_) first = std::min(first, held_.find(text));
  is_met_ = first != std::string::npos;
  const size_t shown = is_met_ ? first : held_.size() - num_held();
  std::string out = held_.substr(0, shown);
  held_ = is_met_ ? "" : held_.substr(shown);
  return out;
}

std::string StopTexts::finish() { return std::exchange(held_, ""); }

// The longest end of the text that a stop text begins with.
size_t StopTexts::num_held() const {
  size_t most = 0;
  for (const std::string& text : texts_) {
    for (size_t size = std::min(text.size() - 1, held_.size()); size > most; --size) {
      if (held_.ends_with(std::string_view(text).substr(0, size))) most = size;
    }
  }
  return most;
}

}  // namespace phonelm::cli
