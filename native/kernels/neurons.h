// Weights of a ReLU FFN, neuron by neuron. A neuron whose gate is not positive adds nothing, so that decode
// needs the up row and the down column of the active ones alone; in panels (packed.h) each would be spread
// over bytes of all adjacent neurons. Up and down are stored this way only, not twice: a batch turns them
// back into panels, one at a time in a thread's cache, which costs a few percent of a product with 256
// tokens.
//
//   NeuronRows (up)       a neuron's row: fp16 scales of its groups of 32 columns, padded to 16 of them, then
//   the
//                         quants in runs of 16 groups, the last one shorter: in pieces of 4 bytes per group,
//                         group by group, 4 pieces for Q4_0 (byte b of piece j: column 8 j + b low, 8 j + 4 +
//                         b high), 8 for Q8_0 (columns 4 j + b). So a register holds the same columns of 16
//                         groups, and one conversion and one multiply-add scale 16 groups' dot products.
//   NeuronColumns (down)  a group of 32 neurons: fp16 scales of all rows, then 32 columns of quants: for Q8_0
//   a byte
//                         a row; for Q4_0 32 bytes for 64 rows, whose order makes interleaved 16-bit sums
//                         come out in the rows' order: byte 8 l + q holds row 4 l + q low and 32 + 4 l + q
//                         high, byte 8 l + 4 + q the rows 16 further (l, q < 4).
//
// 4-bit quants are stored as they are (zero point 8), 8-bit ones + 128 in rows and signed in columns.
#pragma once

#include "core/buffer.h"
#include "kernels/packed.h"

namespace phonelm {

// Groups of a run.
inline constexpr int kRunGroups = 16;

struct NeuronRows {
  TensorType type = TensorType::Q4_0;
  int rows = 0;
  int cols = 0;
  size_t row_bytes = 0;
  const std::byte* data = nullptr;

  int num_groups() const { return cols / kGroupSize; }
  size_t scales_bytes() const {
    return round_up(static_cast<size_t>(num_groups()), kRunGroups) * sizeof(uint16_t);
  }
  const std::byte* row(int index) const { return data + static_cast<size_t>(index) * row_bytes; }
  size_t num_bytes() const { return static_cast<size_t>(rows) * row_bytes; }
};

struct NeuronColumns {
  TensorType type = TensorType::Q4_0;
  int rows = 0;
  int cols = 0;
  size_t column_bytes = 0;
  const std::byte* data = nullptr;

  int num_groups() const { return cols / kGroupSize; }
  size_t scales_bytes() const { return static_cast<size_t>(rows) * sizeof(uint16_t); }
  size_t group_bytes() const { return scales_bytes() + kGroupSize * column_bytes; }
  const std::byte* group(int index) const { return data + static_cast<size_t>(index) * group_bytes(); }
  size_t num_bytes() const { return static_cast<size_t>(num_groups()) * group_bytes(); }
};

// Rows of a down matrix that its kernels take at once; threads share the rows in such pieces.
inline constexpr int kColumnRows = 64;

// A token's quants of a row in the order of NeuronRows' quants: runs of 16 groups, 8 pieces of 4 columns.
// `out` has room for whole runs; what lies beyond the last group is zero.
void to_runs(const int8_t* quants, int num_groups, int8_t* out);
// Bytes of that.
inline size_t runs_bytes(int cols) { return round_up(static_cast<size_t>(cols), kRunGroups * kGroupSize); }

// Whether a ReLU FFN of these sizes and types can be stored neuron by neuron: 4- or 8-bit quants with a scale
// only, and a hidden size of whole pieces.
bool neuron_layout_fits(TensorType type, int hidden_size, int intermediate_size);

NeuronRows neuron_rows_layout(TensorType type, int rows, int cols);
NeuronColumns neuron_columns_layout(TensorType type, int rows, int cols);

// From GGUF's row-major blocks: the rows [begin, end), the groups [begin, end).
void pack_neuron_rows(const NeuronRows& matrix, const std::byte* source, int begin, int end,
                      std::byte* target);
void pack_neuron_columns(const NeuronColumns& matrix, const std::byte* source, int begin, int end,
                         std::byte* target);

// The matrix as panels: its shape, and one panel written to `panel` (panel_bytes of the shape).
PackedMatrix panel_layout(const NeuronRows& matrix);
PackedMatrix panel_layout(const NeuronColumns& matrix);
void to_panel(const NeuronRows& matrix, int index, std::byte* panel);
void to_panel(const NeuronColumns& matrix, int index, std::byte* panel);

}  // namespace phonelm
