#include "tools/terminal.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>

#include "system/files.h"
#include "system/program.h"
#include "tools/library.h"

namespace phonelm::cli {

namespace {

volatile std::sig_atomic_t interrupted = 0;

void note_interrupt(int) { interrupted = 1; }

[[noreturn]] void fail(const std::string& what) { throw Failure(what + ": " + std::strerror(errno)); }

}  // namespace

void catch_signals() { system::on_interrupt(note_interrupt); }

bool is_interrupted() { return interrupted != 0; }

void throw_if_interrupted() {
  if (is_interrupted()) throw Interrupted();
}

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  if (errno == EPIPE) throw ReaderGone();
  fail("cannot write the output");
}

void print_error(const std::string& line) { std::fprintf(stderr, "phonelm-cli: %s\n", line.c_str()); }

std::string read_all(const std::string& path) {
  const bool standard = path == "-";
  const auto close = [standard](FILE* file) { return standard ? 0 : std::fclose(file); };
  const std::unique_ptr<FILE, decltype(close)> file(standard ? stdin : system::open_stream(path), close);
  if (!file) fail(path);
  std::string text;
  char part[1 << 16];
  while (const size_t size = std::fread(part, 1, sizeof(part), file.get())) text.append(part, size);
  throw_if_interrupted();
  if (std::ferror(file.get())) fail(standard ? "standard input" : path);
  return text;
}

bool reads_terminal() { return isatty(STDIN_FILENO) != 0; }

bool read_line(std::string& line) {
  constexpr size_t kLongest = 1 << 16;
  line.clear();
  int next = 0;
  while ((next = std::getc(stdin)) != EOF && next != '\n') {
    line.push_back(static_cast<char>(next));
    if (line.size() > kLongest) throw Failure("a line of the input is longer than 64 KiB");
  }
  throw_if_interrupted();
  return next != EOF || !line.empty();
}

}  // namespace phonelm::cli
