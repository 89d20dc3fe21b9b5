// Windows names files in UTF-16; this house does in UTF-8.
#pragma once

#include <string>

namespace phonelm::system {

std::wstring wide_of(const std::string& utf8);
std::string utf8_of(const std::wstring& wide);

}  // namespace phonelm::system
