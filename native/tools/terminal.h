// Standard input and output, and the wish to stop.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace phonelm::cli {

// The reader of our output has gone (`| head`): leave without a word, exit code 1.
class ReaderGone : public std::exception {};

// Ctrl-C or SIGTERM came: leave, exit code 1. The second one ends the program at once.
class Interrupted : public std::exception {};

void catch_signals();
bool is_interrupted();
void throw_if_interrupted();

// Writes and flushes. Throws ReaderGone, or Failure where the disk is full.
void print(std::string_view text);
void print_error(const std::string& line);

// The whole of a file, of standard input for "-". Throws Failure.
std::string read_all(const std::string& path);

// Whether standard input is a terminal, where someone would have to type.
bool reads_terminal();

// The next line of standard input, without its end; false after the last one. Throws Failure for a line that
// does not end within 64 KiB.
bool read_line(std::string& line);

}  // namespace phonelm::cli
