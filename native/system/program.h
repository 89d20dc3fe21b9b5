// What a program of the command line needs.
#pragma once

#include <string>
#include <vector>

namespace phonelm::system {

// Without the program's own name, in UTF-8. Standard streams carry bytes as they are from now on.
std::vector<std::string> begin_program(int argc, char** argv);
// Calls `note` at the first Ctrl-C or request to end; the second one ends the process. A reader that goes
// away is an error of writing, not the end.
void on_interrupt(void (*note)(int));

}  // namespace phonelm::system
