#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "system/memory.h"

namespace phonelm::system {

void* get_pages(size_t num_bytes, [[maybe_unused]] bool is_huge) {
  void* pages = ::mmap(nullptr, num_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  ::madvise(pages, num_bytes, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
#endif
  return pages;
}

void free_pages(void* pages, size_t num_bytes) { ::munmap(pages, num_bytes); }

const void* map_file(int file, size_t num_bytes) {
  const void* map = ::mmap(nullptr, num_bytes, PROT_READ, MAP_PRIVATE, file, 0);
  return map == MAP_FAILED ? nullptr : map;
}

void unmap_file(const void* map, size_t num_bytes) { ::munmap(const_cast<void*>(map), num_bytes); }

void forget_pages(const void* map, size_t num_bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  ::madvise(const_cast<void*>(map), (num_bytes + page - 1) / page * page, MADV_DONTNEED);
}

std::optional<uint64_t> address_space_limit() {
  struct rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

}  // namespace phonelm::system
