// Bytes of tokens in, whole characters out.
#pragma once

#include <string>
#include <string_view>

namespace phonelm::capi {

// What comes out, joined, is what Python's bytes.decode("utf-8", "replace") makes of all that went in: each
// longest beginning of a character that is not continued becomes one U+FFFD (Unicode 15, section 3.9,
// "maximal subparts").
class TextStream {
 public:
  // The text that is certain by now.
  std::string feed(std::string_view bytes);
  // What was held back: nothing, or one U+FFFD.
  std::string finish();

 private:
  std::string held_;
};

}  // namespace phonelm::capi
