#include <signal.h>

#include "system/program.h"

namespace phonelm::system {

std::vector<std::string> begin_program(int argc, char** argv) {
  return argc == 0 ? std::vector<std::string>{} : std::vector<std::string>{argv + 1, argv + argc};
}

void on_interrupt(void (*note)(int)) {
  struct sigaction action{};
  action.sa_handler = note;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

}  // namespace phonelm::system
