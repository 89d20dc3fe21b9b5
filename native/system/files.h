// Files by number, as POSIX has them, on every system. Paths are UTF-8. What fails returns -1, false or
// nothing, and `errno` says why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string>

namespace phonelm::system {

enum class FileKind { Regular, Folder, Other };

struct FileStatus {
  FileKind kind;
  uint64_t num_bytes;
};

// To be read. Does not wait at a named pipe.
int open_file(const std::string& path);
// To be written; the file must be new.
int create_file(const std::string& path);
std::optional<FileStatus> status_of(int file);
// The number of bytes that were read or written: perhaps fewer; 0 at the end.
int64_t read_some(int file, void* bytes, size_t num_bytes);
int64_t write_some(int file, const void* bytes, size_t num_bytes);
// Waits until what was written is on the disk.
bool flush_file(int file);
bool close_file(int file);
void delete_file(const std::string& path);
// Puts a file in the place of another, or of none, in one step.
bool replace_file(const std::string& from, const std::string& to);

std::FILE* open_stream(const std::string& path);
std::filesystem::path path_of(const std::string& utf8);
std::string utf8_of(const std::filesystem::path& path);

int process_number();

}  // namespace phonelm::system
