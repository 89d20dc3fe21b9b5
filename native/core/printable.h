// Names out of files, made fit for a one-line message: they may be long or hold any bytes.
#pragma once

#include <string>
#include <string_view>

namespace phonelm {

// Control characters are escaped, so that the message stays one line; other bytes stay (UTF-8).
std::string printable(std::string_view text);
// In quotes, cut to 60 bytes, everything but printable ASCII escaped.
std::string quoted(std::string_view text);

}  // namespace phonelm
