#include <fcntl.h>
#include <io.h>
#include <windows.h>
// After windows.h, which it needs.
#include <shellapi.h>

#include <csignal>
#include <cstdio>

#include "system/program.h"
#include "system/windows_text.h"

namespace phonelm::system {

std::vector<std::string> begin_program(int, char**) {
  for (std::FILE* stream : {stdin, stdout, stderr}) ::_setmode(::_fileno(stream), _O_BINARY);
  ::SetConsoleOutputCP(CP_UTF8);
  ::SetConsoleCP(CP_UTF8);
  int count = 0;
  wchar_t** wide = ::CommandLineToArgvW(::GetCommandLineW(), &count);
  std::vector<std::string> words;
  for (int index = 1; index < count; ++index) words.push_back(utf8_of(wide[index]));
  ::LocalFree(wide);
  return words;
}

// A handler is called once: the C library takes it back.
void on_interrupt(void (*note)(int)) {
  std::signal(SIGINT, note);
  std::signal(SIGTERM, note);
}

}  // namespace phonelm::system
