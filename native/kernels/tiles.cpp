#include "kernels/tiles.h"

#include <cstring>

#include "core/f16.h"

namespace phonelm {

namespace {

float half_at(const std::byte* data, int index) {
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, 2);
  return f16_to_f32(bits);
}

// `bits` of a quant that lie in a plane.
int plane_bits(const std::byte* plane, int bits, int row, int col) {
  const int num_registers = 8 / bits;  // of a piece
  const int index = col / 4;
  const auto byte = static_cast<int>(plane[64 * (index / num_registers) + 4 * row + col % 4]);
  return (byte >> (index % num_registers * bits)) & ((1 << bits) - 1);
}

// A row's factors of the scale and the minimum in the halves of a group.
struct Factors {
  float scales[2] = {1.0f, 1.0f};
  float minima[2] = {1.0f, 1.0f};
};

Factors read_factors(SubScales kind, const std::byte* pair) {
  const auto first = static_cast<uint8_t>(pair[0]);
  const auto second = static_cast<uint8_t>(pair[kPanelRows]);
  const auto number = [](int value) { return static_cast<float>(value); };
  switch (kind) {
    case SubScales::None:
      return {};
    case SubScales::ScaleAndMinimum:
      return {{number(first), number(first)}, {number(second), number(second)}};
    case SubScales::HalfScales:
      return {{number(static_cast<int8_t>(first)), number(static_cast<int8_t>(second))}, {}};
    case SubScales::HalfScalesAndMinima:
      return {{number(first & 15), number(second & 15)}, {number(first >> 4), number(second >> 4)}};
  }
  return {};
}

float float_at(TensorType type, const std::byte* tile, int row) {
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

void unpack_tile_row(const TileFormat& format, const std::byte* tile, int row, float* out) {
  GroupRow group;
  for (int index = 0; index < format.num_groups(); ++index) {
    read_group(format, tile, index, row, group);
    for (int col = 0; col < kGroupSize; ++col) {
      const int half = col / kHalfGroup;
      // Two statements, so that no compiler may make one multiply-add of them, which rounds once.
      const float product = group.scales[half] * static_cast<float>(group.levels[col] - format.zero);
      *out++ = format.has_minimum ? product + group.minima[half] : product;
    }
  }
}

}  // namespace

void read_group(const TileFormat& format, const std::byte* tile, int group, int row, GroupRow& out) {
  const std::byte* pairs =
      tile + format.sub_scales_at() + static_cast<size_t>(group) * TileFormat::sub_scales_bytes();
  const Factors factors = read_factors(format.sub_scales, pairs + row);
  const float scale = half_at(tile, row);
  const float minimum = format.has_minimum ? half_at(tile, kPanelRows + row) : 0.0f;
  for (int half = 0; half < 2; ++half) {
    out.scales[half] = scale * factors.scales[half];
    out.minima[half] = minimum * factors.minima[half];
  }
  const std::byte* low = tile + format.quants_at() + static_cast<size_t>(group) * format.group_bytes();
  const std::byte* high = low + format.low_plane_bytes();
  for (int col = 0; col < kGroupSize; ++col) {
    int quant = plane_bits(low, format.low_bits, row, col);
    if (format.high_bits > 0) quant |= plane_bits(high, format.high_bits, row, col) << format.low_bits;
    out.levels[col] = format.has_levels ? kIq4Levels[quant] : static_cast<uint8_t>(quant);
  }
}

void unpack_row(const PackedMatrix& matrix, int row, float* out) {
  const std::byte* tile = matrix.panel(row / kPanelRows);
  const int r = row % kPanelRows;
  if (!matrix.quantized()) {
    for (int col = 0; col < matrix.cols; ++col, tile += tile_bytes(matrix.type)) {
      out[col] = float_at(matrix.type, tile, r);
    }
    return;
  }
  const TileFormat format = tile_format(matrix.type);
  const int step = tile_cols(matrix.type);
  for (int col = 0; col < matrix.cols; col += step, tile += format.num_bytes()) {
    unpack_tile_row(format, tile, r, out + col);
  }
}

}  // namespace phonelm
