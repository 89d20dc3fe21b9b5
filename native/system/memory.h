// Memory in whole pages, and files in the address space.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

namespace phonelm::system {

// Zeroed, resident only once touched; nullptr where the system has no more. Huge pages where it has them.
void* get_pages(size_t num_bytes, bool is_huge);
void free_pages(void* pages, size_t num_bytes);

// The whole of an open file, which may be closed then; nullptr and `errno` where that fails. Not for empty
// ones.
const void* map_file(int file, size_t num_bytes);
void unmap_file(const void* map, size_t num_bytes);
// Lets go of a map's first bytes; what is read again all the same comes from the file again.
void forget_pages(const void* map, size_t num_bytes);

// The limit on this process's address space, if there is one.
std::optional<uint64_t> address_space_limit();

}  // namespace phonelm::system
