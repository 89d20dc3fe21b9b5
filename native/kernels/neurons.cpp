#include "kernels/neurons.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace phonelm {

namespace {

constexpr size_t kScalesBytes = kPanelRows * sizeof(uint16_t);

size_t group_quants_bytes(TensorType type) { return type == TensorType::Q8_0 ? 32 : 16; }

// GGUF's 16 bytes of a group (columns i and i + 16 in byte i) in the order of a panel's 4-byte pieces.
void reorder_nibbles(const uint8_t* in, uint8_t* out) {
  for (int piece = 0; piece < 4; ++piece) {
    const uint8_t* from = in + piece % 2 * 8;
    const int shift = piece < 2 ? 0 : 4;
    for (int b = 0; b < 4; ++b) {
      out[4 * piece + b] =
          static_cast<uint8_t>(((from[b] >> shift) & 15) | (((from[b + 4] >> shift) & 15) << 4));
    }
  }
}

// The run that a group lies in, and its place there.
struct Run {
  size_t begin;
  size_t num_groups;
  size_t place;

  Run(int all_groups, int group)
      : begin(static_cast<size_t>(group / kRunGroups * kRunGroups)),
        num_groups(std::min<size_t>(kRunGroups, static_cast<size_t>(all_groups) - begin)),
        place(static_cast<size_t>(group) - begin) {}
};

struct Source {
  const std::byte* data;
  size_t block_bytes;
  size_t row_bytes;

  Source(TensorType type, int cols, const std::byte* source)
      : data(source),
        block_bytes(tensor_type_block_bytes(type)),
        row_bytes(static_cast<size_t>(cols / kGroupSize) * block_bytes) {}
  const std::byte* block(int row, int group) const {
    return data + static_cast<size_t>(row) * row_bytes + static_cast<size_t>(group) * block_bytes;
  }
};

using Square = uint8_t[kColumnRows][kGroupSize];

// Quants of 64 rows x 32 columns as bytes, a row after the other.
void read_square(const Source& source, TensorType type, int row, int group, Square& square) {
  for (int r = 0; r < kColumnRows; ++r) {
    const auto* in = reinterpret_cast<const uint8_t*>(source.block(row + r, group)) + 2;
    if (type == TensorType::Q8_0) {
      std::memcpy(square[r], in, kGroupSize);
      continue;
    }
    for (int i = 0; i < 16; ++i) {
      square[r][i] = in[i] & 15;
      square[r][16 + i] = in[i] >> 4;
    }
  }
}

// Of 32 rows, the one in byte i of a column of nibbles.
constexpr int row_of_byte(int i) { return i / 8 * 4 + i % 4 + i % 8 / 4 * 16; }

void write_columns(TensorType type, const Square& square, int row, size_t column_bytes, std::byte* columns) {
  for (int col = 0; col < kGroupSize; ++col) {
    auto* out = reinterpret_cast<uint8_t*>(columns) + static_cast<size_t>(col) * column_bytes;
    if (type == TensorType::Q8_0) {
      for (int r = 0; r < kColumnRows; ++r) out[row + r] = square[r][col];
    } else {
      for (int i = 0; i < 32; ++i) {
        const int r = row_of_byte(i);
        out[row / 2 + i] = static_cast<uint8_t>(square[r][col] | (square[32 + r][col] << 4));
      }
    }
  }
}

// 16 rows of one column: of bytes, as they lie; of nibbles, every other four of 32 bytes, from the first or
// the second on, low or high.
struct ColumnPiece {
  const uint8_t* data;
  bool second;
  bool high;
};

// A panel's tile has the bytes of four neighbouring columns side by side, row by row: out[4 r + b] =
// pieces[b][r].
#if defined(__x86_64__)
void interleave(const __m128i (&pieces)[4], std::byte* out) {
  const __m128i low01 = _mm_unpacklo_epi8(pieces[0], pieces[1]);
  const __m128i low23 = _mm_unpacklo_epi8(pieces[2], pieces[3]);
  const __m128i high01 = _mm_unpackhi_epi8(pieces[0], pieces[1]);
  const __m128i high23 = _mm_unpackhi_epi8(pieces[2], pieces[3]);
  auto* target = reinterpret_cast<__m128i*>(out);
  _mm_storeu_si128(target, _mm_unpacklo_epi16(low01, low23));
  _mm_storeu_si128(target + 1, _mm_unpackhi_epi16(low01, low23));
  _mm_storeu_si128(target + 2, _mm_unpacklo_epi16(high01, high23));
  _mm_storeu_si128(target + 3, _mm_unpackhi_epi16(high01, high23));
}

__m128i nibbles(const ColumnPiece& piece) {
  const auto* data = reinterpret_cast<const float*>(piece.data);
  const __m128 first = _mm_loadu_ps(data);
  const __m128 rest = _mm_loadu_ps(data + 4);
  const __m128i bytes =
      _mm_castps_si128(piece.second ? _mm_shuffle_ps(first, rest, 0xdd) : _mm_shuffle_ps(first, rest, 0x88));
  return _mm_and_si128(piece.high ? _mm_srli_epi16(bytes, 4) : bytes, _mm_set1_epi8(15));
}

void interleave_nibbles(const ColumnPiece (&low)[4], const ColumnPiece (&high)[4], std::byte* out) {
  __m128i pieces[4];
  for (int b = 0; b < 4; ++b) pieces[b] = _mm_or_si128(nibbles(low[b]), _mm_slli_epi16(nibbles(high[b]), 4));
  interleave(pieces, out);
}

void interleave_bytes(const ColumnPiece (&columns)[4], std::byte* out) {
  __m128i pieces[4];
  for (int b = 0; b < 4; ++b) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(columns[b].data));
    pieces[b] = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80)));
  }
  interleave(pieces, out);
}
#elif defined(__aarch64__)
void interleave(const uint8x16x4_t& pieces, std::byte* out) {
  vst4q_u8(reinterpret_cast<uint8_t*>(out), pieces);
}

uint8x16_t nibbles(const ColumnPiece& piece) {
  const uint32x4_t first = vreinterpretq_u32_u8(vld1q_u8(piece.data));
  const uint32x4_t rest = vreinterpretq_u32_u8(vld1q_u8(piece.data + 16));
  const uint8x16_t bytes =
      vreinterpretq_u8_u32(piece.second ? vuzp2q_u32(first, rest) : vuzp1q_u32(first, rest));
  return piece.high ? vshrq_n_u8(bytes, 4) : vandq_u8(bytes, vdupq_n_u8(15));
}

void interleave_nibbles(const ColumnPiece (&low)[4], const ColumnPiece (&high)[4], std::byte* out) {
  uint8x16x4_t pieces;
  for (int b = 0; b < 4; ++b) pieces.val[b] = vsliq_n_u8(nibbles(low[b]), nibbles(high[b]), 4);
  interleave(pieces, out);
}

void interleave_bytes(const ColumnPiece (&columns)[4], std::byte* out) {
  uint8x16x4_t pieces;
  for (int b = 0; b < 4; ++b) pieces.val[b] = veorq_u8(vld1q_u8(columns[b].data), vdupq_n_u8(0x80));
  interleave(pieces, out);
}
#else
uint8_t nibble(const ColumnPiece& piece, int row) {
  const int at = row / 4 * 8 + row % 4 + (piece.second ? 4 : 0);
  return (piece.data[at] >> (piece.high ? 4 : 0)) & 15;
}

void interleave_nibbles(const ColumnPiece (&low)[4], const ColumnPiece (&high)[4], std::byte* out) {
  for (int row = 0; row < kPanelRows; ++row) {
    for (int b = 0; b < 4; ++b) {
      out[4 * row + b] = static_cast<std::byte>(nibble(low[b], row) | (nibble(high[b], row) << 4));
    }
  }
}

void interleave_bytes(const ColumnPiece (&columns)[4], std::byte* out) {
  for (int row = 0; row < kPanelRows; ++row) {
    for (int b = 0; b < 4; ++b) out[4 * row + b] = static_cast<std::byte>(columns[b].data[row] ^ 0x80u);
  }
}
#endif

}  // namespace

void to_runs(const int8_t* quants, int num_groups, int8_t* out) {
  for (int begin = 0; begin < num_groups; begin += kRunGroups, out += kRunGroups * kGroupSize) {
    for (int place = 0; place < kRunGroups; ++place) {
      const bool there = begin + place < num_groups;
      const int8_t* group = quants + (begin + place) * kGroupSize;
      for (int piece = 0; piece < kGroupSize / 4; ++piece) {
        int8_t* to = out + 4 * (piece * kRunGroups + place);
        there ? std::memcpy(to, group + 4 * piece, 4) : std::memset(to, 0, 4);
      }
    }
  }
}

bool neuron_layout_fits(TensorType type, int hidden_size, int intermediate_size) {
  return (type == TensorType::Q4_0 || type == TensorType::Q8_0) && hidden_size % kColumnRows == 0 &&
         intermediate_size % kGroupSize == 0;
}

NeuronRows neuron_rows_layout(TensorType type, int rows, int cols) {
  NeuronRows matrix{type, rows, cols, 0, nullptr};
  matrix.row_bytes =
      matrix.scales_bytes() + static_cast<size_t>(matrix.num_groups()) * group_quants_bytes(type);
  return matrix;
}

NeuronColumns neuron_columns_layout(TensorType type, int rows, int cols) {
  return {type, rows, cols, static_cast<size_t>(rows) * group_quants_bytes(type) / kGroupSize, nullptr};
}

void pack_neuron_rows(const NeuronRows& matrix, const std::byte* source, int begin, int end,
                      std::byte* target) {
  const Source blocks(matrix.type, matrix.cols, source);
  const size_t num_pieces = group_quants_bytes(matrix.type) / 4;
  for (int row = begin; row < end; ++row) {
    std::byte* out = target + static_cast<size_t>(row) * matrix.row_bytes;
    for (int group = 0; group < matrix.num_groups(); ++group) {
      const std::byte* block = blocks.block(row, group);
      std::memcpy(out + 2 * group, block, 2);
      const auto* in = reinterpret_cast<const uint8_t*>(block) + 2;
      uint8_t quants[kGroupSize];
      if (matrix.type == TensorType::Q4_0) {
        reorder_nibbles(in, quants);
      } else {
        for (int i = 0; i < kGroupSize; ++i) quants[i] = in[i] ^ 0x80u;
      }
      const Run run(matrix.num_groups(), group);
      std::byte* pieces = out + matrix.scales_bytes() + run.begin * 4 * num_pieces;
      for (size_t piece = 0; piece < num_pieces; ++piece) {
        std::memcpy(pieces + 4 * (piece * run.num_groups + run.place), quants + 4 * piece, 4);
      }
    }
  }
}

void pack_neuron_columns(const NeuronColumns& matrix, const std::byte* source, int begin, int end,
                         std::byte* target) {
  const Source blocks(matrix.type, matrix.cols, source);
  for (int group = begin; group < end; ++group) {
    std::byte* out = target + static_cast<size_t>(group) * matrix.group_bytes();
    for (int row = 0; row < matrix.rows; ++row) std::memcpy(out + 2 * row, blocks.block(row, group), 2);
    for (int row = 0; row < matrix.rows; row += kColumnRows) {
      Square square;
      read_square(blocks, matrix.type, row, group, square);
      write_columns(matrix.type, square, row, matrix.column_bytes, out + matrix.scales_bytes());
    }
  }
}

PackedMatrix panel_layout(const NeuronRows& matrix) {
  return packed_layout(matrix.type, matrix.rows, matrix.cols);
}

PackedMatrix panel_layout(const NeuronColumns& matrix) {
  return packed_layout(matrix.type, matrix.rows, matrix.cols);
}

void to_panel(const NeuronRows& matrix, int index, std::byte* panel) {
  const size_t stride = tile_bytes(matrix.type);
  const size_t num_pieces = group_quants_bytes(matrix.type) / 4;
  for (int group = 0; group < matrix.num_groups(); ++group, panel += stride) {
    const Run run(matrix.num_groups(), group);
    for (int r = 0; r < kPanelRows; ++r) {
      const std::byte* row = matrix.row(index * kPanelRows + r);
      std::memcpy(panel + 2 * r, row + 2 * group, 2);
      const std::byte* pieces = row + matrix.scales_bytes() + run.begin * 4 * num_pieces;
      for (size_t piece = 0; piece < num_pieces; ++piece) {
        std::memcpy(panel + kScalesBytes + 64 * piece + 4 * static_cast<size_t>(r),
                    pieces + 4 * (piece * run.num_groups + run.place), 4);
      }
    }
  }
}

void to_panel(const NeuronColumns& matrix, int index, std::byte* panel) {
  const int row = index * kPanelRows;
  const bool four_bit = matrix.type == TensorType::Q4_0;
  const size_t place = four_bit ? static_cast<size_t>(row / 64 * 32) : static_cast<size_t>(row);
  const bool odd = row % 32 != 0;
  const bool high = row % 64 >= 32;
  for (int group = 0; group < matrix.num_groups(); ++group, panel += tile_bytes(matrix.type)) {
    const std::byte* from = matrix.group(group);
    std::memcpy(panel, from + 2 * row, kScalesBytes);
    const auto* columns = reinterpret_cast<const uint8_t*>(from + matrix.scales_bytes()) + place;
    const auto piece = [&](int col) {
      return ColumnPiece{columns + static_cast<size_t>(col) * matrix.column_bytes, odd, high};
    };
    const auto four = [&](int col, ColumnPiece(&out)[4]) {
      for (int b = 0; b < 4; ++b) out[b] = piece(col + b);
    };
    std::byte* out = panel + kScalesBytes;
    ColumnPiece first[4];
    ColumnPiece second[4];
    for (int col = 0; col < kGroupSize; col += four_bit ? 8 : 4, out += 64) {
      four(col, first);
      if (four_bit) {
        four(col + 4, second);
        interleave_nibbles(first, second, out);
      } else {
        interleave_bytes(first, out);
      }
    }
  }
}

}  // namespace phonelm
