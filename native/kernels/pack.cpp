#include <cstring>

#include "core/f16.h"
#include "kernels/packed.h"

namespace phonelm {

namespace {

constexpr size_t kScalesBytes = kPanelRows * sizeof(uint16_t);

// Where row r, column c of a tile lies among its quants.
struct NibblePlace {
  int byte;
  int shift;
};
constexpr NibblePlace nibble_place(int row, int col) {
  return {64 * (col / 8) + 4 * row + col % 4, (col % 8) / 4 * 4};
}
constexpr int byte_place(int row, int col) { return 64 * (col / 4) + 4 * row + col % 4; }

// One row's 32 nibbles: GGUF has columns i and i + 16 in byte i.
void pack_nibbles(const uint8_t* source, int row, uint8_t* quants) {
  for (int j = 0; j < 4; ++j) {
    uint8_t* out = quants + 64 * j + 4 * row;
    const uint8_t* in = source + (8 * j) % 16;
    const int shift = j < 2 ? 0 : 4;
    for (int b = 0; b < 4; ++b) {
      const int low = (in[b] >> shift) & 15;
      const int high = (in[b + 4] >> shift) & 15;
      out[b] = static_cast<uint8_t>(low | (high << 4));
    }
  }
}

void pack_q8(const uint8_t* source, int row, uint8_t* quants) {
  for (int j = 0; j < 8; ++j) {
    for (int b = 0; b < 4; ++b) {
      quants[64 * j + 4 * row + b] = static_cast<uint8_t>(source[4 * j + b] ^ 0x80u);
    }
  }
}

void pack_quantized_row(TensorType type, const std::byte* source, int row, std::byte* tile) {
  const bool with_minimum = type == TensorType::Q4_1;
  std::memcpy(tile + 2 * row, source, 2);
  if (with_minimum) std::memcpy(tile + kScalesBytes + 2 * row, source + 2, 2);
  const auto* in = reinterpret_cast<const uint8_t*>(source) + (with_minimum ? 4 : 2);
  auto* quants = reinterpret_cast<uint8_t*>(tile) + kScalesBytes * (with_minimum ? 2 : 1);
  if (type == TensorType::Q8_0) {
    pack_q8(in, row, quants);
  } else {
    pack_nibbles(in, row, quants);
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
  switch (type) {
    case TensorType::Q4_0:
      return kScalesBytes + 256;
    case TensorType::Q4_1:
      return 2 * kScalesBytes + 256;
    case TensorType::Q8_0:
      return kScalesBytes + 512;
    case TensorType::F32:
      return kPanelRows * 4;
    case TensorType::F16:
    case TensorType::BF16:
      return kPanelRows * 2;
  }
  return 0;
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
  const size_t stride = tile_bytes(matrix.type);
  for (int panel = begin; panel < end; ++panel) {
    std::byte* out = target + static_cast<size_t>(panel) * matrix.panel_bytes;
    for (int r = 0; r < kPanelRows; ++r) {
      const int row = panel * kPanelRows + r;
      if (row >= matrix.rows) break;
      const std::byte* in = source + static_cast<size_t>(row) * row_bytes;
      if (!matrix.quantized()) {
        pack_float_row(in, block_bytes, matrix.cols, r, out);
        continue;
      }
      for (int tile = 0; tile < num_tiles; ++tile) {
        const auto at = static_cast<size_t>(tile);
        pack_quantized_row(matrix.type, in + at * block_bytes, r, out + at * stride);
      }
    }
  }
}

namespace {

float half_at(const std::byte* data, int index) {
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, 2);
  return f16_to_f32(bits);
}

void unpack_tile_row(TensorType type, const std::byte* tile, int row, float* out) {
  const float scale = half_at(tile, row);
  if (type == TensorType::Q8_0) {
    const auto* quants = reinterpret_cast<const uint8_t*>(tile + kScalesBytes);
    for (int col = 0; col < kGroupSize; ++col) {
      out[col] = scale * static_cast<float>(quants[byte_place(row, col)] - 128);
    }
    return;
  }
  const bool with_minimum = type == TensorType::Q4_1;
  const float minimum = with_minimum ? half_at(tile + kScalesBytes, row) : -8.0f * scale;
  const auto* quants = reinterpret_cast<const uint8_t*>(tile) + kScalesBytes * (with_minimum ? 2 : 1);
  for (int col = 0; col < kGroupSize; ++col) {
    const NibblePlace place = nibble_place(row, col);
    out[col] = scale * static_cast<float>((quants[place.byte] >> place.shift) & 15) + minimum;
  }
}

float unpack_float(TensorType type, const std::byte* tile, int row) {
  if (type == TensorType::F16) return half_at(tile, row);
  if (type == TensorType::BF16) {
    uint16_t bits;
    std::memcpy(&bits, tile + 2 * row, 2);
    return bf16_to_f32(bits);
  }
  float value;
  std::memcpy(&value, tile + 4 * row, 4);
  return value;
}

}  // namespace

void unpack_row(const PackedMatrix& matrix, int row, float* out) {
  const std::byte* tile = matrix.panel(row / kPanelRows);
  const int step = tile_cols(matrix.type);
  for (int col = 0; col < matrix.cols; col += step, tile += tile_bytes(matrix.type)) {
    if (matrix.quantized()) {
      unpack_tile_row(matrix.type, tile, row % kPanelRows, out + col);
    } else {
      out[col] = unpack_float(matrix.type, tile, row % kPanelRows);
    }
  }
}

}  // namespace phonelm
