// Normalization form C of Unicode (annex 15): what Qwen's tokenizers do to a text first.
#pragma once

#include <string>
#include <string_view>

namespace phonelm::unicode {

// The text itself where it is in this form as nearly all texts are, else a view of `buffer`. Bytes that are
// not UTF-8 stay as they are.
std::string_view to_nfc(std::string_view text, std::string& buffer);

}  // namespace phonelm::unicode
