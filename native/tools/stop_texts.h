// Texts that end an answer and are no part of it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace phonelm::cli {

class StopTexts {
 public:
  // Throws UsageError for an empty one.
  explicit StopTexts(std::vector<std::string> texts);

  // What of the text so far can be shown after this piece: all but an end that may begin a stop text, and
  // nothing from the first stop text on.
  std::string feed(std::string_view piece);
  // What was held back, at the end of an answer that no stop text ended.
  std::string finish();
  bool is_met() const { return is_met_; }

 private:
  size_t num_held() const;

  std::vector<std::string> texts_;
  std::string held_;
  bool is_met_ = false;
};

}  // namespace phonelm::cli
