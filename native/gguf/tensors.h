// The tensor section of a GGUF file: names, shapes, types, and where the data lie.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "gguf/cursor.h"
#include "gguf/gguf.h"

namespace phonelm {

// Name length, the shortest name, number of dimensions, one dimension, type, offset.
inline constexpr size_t kMinTensorBytes = 8 + 1 + 4 + 8 + 4 + 8;

// Reads one entry; its `offset` still counts from the beginning of the data. Throws Error: truncated, no or
// too many or empty dimensions, unknown type, rows that are not whole blocks, a size beyond 64 bits.
TensorInfo read_tensor_info(Cursor& cursor);

// `data` is what follows the aligned header at `data_begin` of the file. Sets each tensor's `data` and makes
// its `offset` count from the beginning of the file. Throws Error when one is not aligned, not wholly within
// the file or overlaps another.
void place_tensors(std::vector<TensorInfo>& tensors, std::span<const std::byte> data, size_t data_begin,
                   size_t alignment, const Cursor& cursor);

}  // namespace phonelm
