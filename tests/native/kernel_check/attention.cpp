// Attention's products with keys and values in int8.
#include <algorithm>

#include "checks.h"

namespace phonelm {
namespace {

enum class Kind { Keys, Values };

// Blocks of 16 positions, and everything else a call takes.
struct ByteCase {
  int num_positions;
  int num_blocks;
  int num_rows;
  ByteBlocks blocks;
  Guarded<std::byte> data;

  ByteCase(Random& random, Kind kind)
      : num_positions(random.between(1, 70)),
        num_blocks((num_positions + kPanelRows - 1) / kPanelRows),
        num_rows(random.between(1, 20)),
        blocks{nullptr, 0, 4 * random.between(1, 40), num_positions},
        data(fill(random, kind)) {
    blocks.data = data.data();
  }
  int padded_positions() const { return num_blocks * kPanelRows; }

 private:
  // Scales of keys lie in front of each group, those of values in front of all.
  Guarded<std::byte> fill(Random& random, Kind kind) {
    const auto groups = static_cast<size_t>(blocks.num_groups());
    const size_t dims = static_cast<size_t>(kind == Kind::Keys ? blocks.head_dim : blocks.value_stride());
    blocks.block_bytes = groups * ByteBlocks::kScalesBytes + kPanelRows * dims;
    Guarded<std::byte> bytes(static_cast<size_t>(num_blocks) * blocks.block_bytes);
    for (auto& byte : bytes) byte = random.byte();
    const size_t apart = ByteBlocks::kScalesBytes + (kind == Kind::Keys ? kGroupSize * kPanelRows : 0);
    for (std::byte* block = bytes.begin(); block != bytes.end(); block += blocks.block_bytes) {
      for (size_t group = 0; group < groups; ++group) {
        const auto scales = random_halves(random, kPanelRows);
        std::memcpy(block + group * apart, scales.data(), ByteBlocks::kScalesBytes);
      }
    }
    return bytes;
  }
};

constexpr float kLargestQuant = 128.0f;

}  // namespace

void check_byte_keys(const Kernels& kernels, Random& random) {
  const ByteCase given(random, Kind::Keys);
  const int dim = given.blocks.head_dim;
  const int stride = given.padded_positions();
  const auto a = random_floats(random, product(given.num_rows, dim));
  const Outputs out(random, product(given.num_rows, stride));
  kernels.byte_keys(given.blocks, a.data(), dim, given.num_rows, out.values.data(), stride);
  scalar().byte_keys(given.blocks, a.data(), dim, given.num_rows, out.expected.data(), stride);
  const float tolerance = kRounding * kLargestQuant * static_cast<float>(dim);
  for (int row = 0; row < given.num_rows; ++row) {
    for (int i = 0; i < given.num_positions; ++i) {
      const size_t at = product(row, stride) + static_cast<size_t>(i);
      require_near("position " + std::to_string(i), out.values[at], out.expected[at], tolerance);
    }
  }
}

void check_byte_values(const Kernels& kernels, Random& random) {
  const ByteCase given(random, Kind::Values);
  const int stride = given.blocks.value_stride();
  const int a_stride = given.padded_positions();
  const auto a = random_floats(random, product(given.num_rows, a_stride));
  const Outputs out(random, product(given.num_rows, stride));
  kernels.byte_values(given.blocks, a.data(), a_stride, given.num_rows, out.values.data(), stride);
  scalar().byte_values(given.blocks, a.data(), a_stride, given.num_rows, out.expected.data(), stride);
  const float tolerance = kRounding * kLargestQuant * static_cast<float>(given.num_positions);
  for (int row = 0; row < given.num_rows; ++row) {
    for (int dim = 0; dim < given.blocks.head_dim; ++dim) {
      const size_t at = product(row, stride) + static_cast<size_t>(dim);
      require_near("dimension " + std::to_string(dim), out.values[at], out.expected[at], tolerance);
    }
  }
}

}  // namespace phonelm
