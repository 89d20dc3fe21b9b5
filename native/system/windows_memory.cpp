#include <io.h>
#include <windows.h>

#include <cerrno>

#include "system/memory.h"

namespace phonelm::system {

// Large pages want a right that users do not have.
void* get_pages(size_t num_bytes, bool) {
  return ::VirtualAlloc(nullptr, num_bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void free_pages(void* pages, size_t) { ::VirtualFree(pages, 0, MEM_RELEASE); }

const void* map_file(int file, size_t num_bytes) {
  const auto handle = reinterpret_cast<HANDLE>(::_get_osfhandle(file));
  const HANDLE mapping = ::CreateFileMappingW(handle, nullptr, PAGE_READONLY, 0, 0, nullptr);
  const void* map = mapping == nullptr ? nullptr : ::MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, num_bytes);
  if (mapping != nullptr) ::CloseHandle(mapping);  // the view keeps it
  if (map == nullptr) errno = ENOMEM;
  return map;
}

void unmap_file(const void* map, size_t) { ::UnmapViewOfFile(map); }

// To unlock pages that are not locked takes them out of the working set.
void forget_pages(const void* map, size_t num_bytes) { ::VirtualUnlock(const_cast<void*>(map), num_bytes); }

std::optional<uint64_t> address_space_limit() { return std::nullopt; }

}  // namespace phonelm::system
