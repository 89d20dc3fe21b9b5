#include <bit>
#include <cstring>

#include "kernels/blocks.h"
#include "kernels/packed.h"

namespace phonelm {

// Planes are written four columns at a time, column c of a register in bits 8 c of a word.
static_assert(std::endian::native == std::endian::little);

namespace {

// Bits [shift, shift + bits) of a group's quants, into a plane.
template <int bits>
void write_plane(const uint8_t* quants, int shift, int row, std::byte* plane) {
  constexpr int num_registers = 8 / bits;  // of a piece
  constexpr uint32_t mask = 0x01010101u * ((1u << bits) - 1);
  for (int piece = 0; piece < bits; ++piece) {
    uint32_t word = 0;
    for (int k = 0; k < num_registers; ++k, quants += 4) {
      uint32_t columns;
      std::memcpy(&columns, quants, 4);
      word |= ((columns >> shift) & mask) << (bits * k);
    }
    std::memcpy(plane + 64 * piece + 4 * row, &word, 4);
  }
}

void write_plane(int bits, const uint8_t* quants, int shift, int row, std::byte* plane) {
  if (bits == 1) return write_plane<1>(quants, shift, row, plane);
  if (bits == 2) return write_plane<2>(quants, shift, row, plane);
  if (bits == 4) return write_plane<4>(quants, shift, row, plane);
  if (bits == 8) return write_plane<8>(quants, shift, row, plane);
}

void write_block(const TileFormat& format, const Block& block, int row, std::byte* tile) {
  std::memcpy(tile + 2 * row, &block.scale, 2);
  if (format.has_minimum) std::memcpy(tile + 2 * (kPanelRows + row), &block.minimum, 2);
  if (format.sub_scales != SubScales::None) {
    std::byte* out = tile + format.sub_scales_at() + row;
    for (const auto& pair : block.sub_scales) {
      out[0] = static_cast<std::byte>(pair[0]);
      out[kPanelRows] = static_cast<std::byte>(pair[1]);
      out += TileFormat::sub_scales_bytes();
    }
  }
  std::byte* out = tile + format.quants_at();
  for (int group = 0; group < format.num_groups(); ++group, out += format.group_bytes()) {
    const uint8_t* quants = block.quants + group * kGroupSize;
    write_plane(format.low_bits, quants, 0, row, out);
    write_plane(format.high_bits, quants, format.low_bits, row, out + format.low_plane_bytes());
  }
}

void pack_quantized_row(TensorType type, const std::byte* source, int num_tiles, int row, std::byte* panel) {
  const TileFormat format = tile_format(type);
  const size_t block_bytes = tensor_type_block_bytes(type);
  Block block;
  for (int tile = 0; tile < num_tiles; ++tile, source += block_bytes, panel += format.num_bytes()) {
    read_block(type, source, block);
    write_block(format, block, row, panel);
  }
}

void pack_float_row(const std::byte* source, size_t width, int cols, int row, std::byte* panel) {
  for (int col = 0; col < cols; ++col) {
    const size_t at = (static_cast<size_t>(col) * kPanelRows + static_cast<size_t>(row)) * width;
    std::memcpy(panel + at, source + static_cast<size_t>(col) * width, width);
  }
}

}  // namespace

size_t tile_bytes(TensorType type) {
  return is_quantized(type) ? tile_format(type).num_bytes() : kPanelRows * tensor_type_block_bytes(type);
}

int tile_cols(TensorType type) { return static_cast<int>(tensor_type_block_size(type)); }

PackedMatrix packed_layout(TensorType type, int rows, int cols) {
  PackedMatrix matrix;
  matrix.type = type;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.num_panels = (rows + kPanelRows - 1) / kPanelRows;
  matrix.panel_bytes = static_cast<size_t>(cols / tile_cols(type)) * tile_bytes(type);
  return matrix;
}

void pack_panels(const PackedMatrix& matrix, const std::byte* source, int begin, int end, std::byte* target) {
  const size_t block_bytes = tensor_type_block_bytes(matrix.type);
  const int num_tiles = matrix.cols / tile_cols(matrix.type);
  const size_t row_bytes = static_cast<size_t>(num_tiles) * block_bytes;
  for (int panel = begin; panel < end; ++panel) {
    std::byte* out = target + static_cast<size_t>(panel) * matrix.panel_bytes;
    for (int r = 0; r < kPanelRows; ++r) {
      const int row = panel * kPanelRows + r;
      if (row >= matrix.rows) break;
      const std::byte* in = source + static_cast<size_t>(row) * row_bytes;
      if (matrix.quantized()) {
        pack_quantized_row(matrix.type, in, num_tiles, r, out);
      } else {
        pack_float_row(in, block_bytes, matrix.cols, r, out);
      }
    }
  }
}

}  // namespace phonelm
