// Products of panels.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "checks.h"

namespace phonelm {
namespace {

// The rows' weights as floats, panels' empty rows as zeros.
std::vector<float> weight_sizes(const PackedMatrix& matrix) {
  std::vector<float> sizes(product(matrix.padded_rows(), matrix.cols));
  for (int row = 0; row < matrix.rows; ++row) unpack_row(matrix, row, &sizes[product(row, matrix.cols)]);
  for (float& size : sizes) size = std::fabs(size);
  return sizes;
}

void compare(const PackedMatrix& matrix, const Activations& input, int stride, const Outputs& out) {
  const std::vector<float> sizes = weight_sizes(matrix);
  for (int token = 0; token < input.num_tokens; ++token) {
    const float* x = input.values + product(token, input.stride);
    for (int row = 0; row < matrix.padded_rows(); ++row) {
      const float* w = &sizes[product(row, matrix.cols)];
      float all = 1.0f;
      for (int c = 0; c < matrix.cols; ++c) all += w[c] * std::fabs(x[c]);
      const size_t at = product(token, stride) + static_cast<size_t>(row);
      require_near("row " + std::to_string(row) + " of " + std::to_string(matrix.rows) + " x " +
                       std::to_string(matrix.cols) + ", token " + std::to_string(token) + " of " +
                       std::to_string(input.num_tokens),
                   out.values[at], out.expected[at], kRounding * all);
    }
  }
}

// A packed matrix of random weights.
struct RandomMatrix {
  PackedMatrix layout;
  Guarded<std::byte> packed;

  RandomMatrix(Random& random, TensorType type)
      : layout(packed_layout(type, random.between(1, 70), random_cols(random, type))),
        packed(layout.num_bytes()) {
    const auto blocks = random_blocks(random, type, layout.rows, layout.cols);
    pack_panels(layout, blocks.data(), 0, layout.num_panels, packed.data());
    layout.data = packed.data();
  }

 private:
  static int random_cols(Random& random, TensorType type) {
    const int most = tile_cols(type) == 1 ? 300 : (tile_cols(type) == kGroupSize ? 9 : 2);
    return tile_cols(type) * random.between(1, most);
  }
};

}  // namespace

void check_matmul(const Kernels& kernels, Random& random, TensorType type) {
  const RandomMatrix given(random, type);
  const PackedMatrix& matrix = given.layout;
  const int cols = matrix.cols;
  const int tokens = random.chance(0.3) ? 1 : random.between(2, 40);
  const RandomInput memory(random, tokens, cols);
  const Activations input = memory.view(tokens, cols);
  if (matrix.quantized()) quantize_all(scalar(), input);

  const int begin = random.between(0, matrix.num_panels - 1);
  const int end = random.between(begin + 1, matrix.num_panels);
  const bool accumulate = random.chance(0.5);
  const int stride = matrix.padded_rows() + 16 * random.between(0, 1);
  const size_t size = product(tokens - 1, stride) + static_cast<size_t>(matrix.padded_rows());
  const Outputs out(random, size);
  kernels.matmul(matrix, begin, end, input, out.values.data(), stride, accumulate);
  scalar().matmul(matrix, begin, end, input, out.expected.data(), stride, accumulate);
  compare(matrix, input, stride, out);
}

void check_exact_matmul(const Kernels& kernels, Random& random, TensorType type) {
  const RandomMatrix given(random, type);
  const PackedMatrix& matrix = given.layout;
  const int tokens = random.between(2, 20);
  const RandomInput batch_memory(random, tokens, matrix.cols);
  Activations batch = batch_memory.view(tokens, matrix.cols);
  batch.batch_invariant = true;
  batch.residual_limit = 0.0f;
  quantize_all(kernels, batch);
  const int stride = matrix.padded_rows();
  const Guarded<float> together(product(tokens, stride));
  kernels.matmul(matrix, 0, matrix.num_panels, batch, together.data(), stride, false);
  const Guarded<float> alone(product(1, stride));
  const RandomInput single_memory(random, 1, matrix.cols);
  const Activations single = single_memory.view(1, matrix.cols);
  for (int token = 0; token < tokens; ++token) {
    std::copy_n(batch.values + product(token, matrix.cols), matrix.cols, single_memory.values());
    quantize_all(kernels, single);
    kernels.matmul(matrix, 0, matrix.num_panels, single, alone.data(), stride, false);
    const float* row = together.data() + product(token, stride);
    require(std::equal(alone.begin(), alone.end(), row),
            "token " + std::to_string(token) + " of " + std::to_string(tokens) + " is another alone");
  }
}

void check_half_panels(const Kernels& kernels, Random& random) {
  const int num_k = random.between(1, 140);
  const int num_panels = random.between(1, 4);
  const int num_rows = random.between(1, 20);
  const int stride = 16 * random.between(1, 3);
  const int a_stride = num_k + random.between(0, 5);
  const int out_stride = 16 * num_panels + random.between(0, 5);
  const bool accumulate = random.chance(0.5);
  const size_t step = product(num_k - 1, stride) + kPanelRows;
  const auto w = random_halves(random, static_cast<size_t>(num_panels) * step);
  const auto a = random_floats(random, product(num_rows - 1, a_stride) + static_cast<size_t>(num_k));
  const Outputs out(random, product(num_rows - 1, out_stride) + product(num_panels, kPanelRows));
  const HalfPanels panels{w.data(), num_panels, step, num_k, stride};
  kernels.half_panels(panels, a.data(), a_stride, num_rows, out.values.data(), out_stride, accumulate);
  scalar().half_panels(panels, a.data(), a_stride, num_rows, out.expected.data(), out_stride, accumulate);
  require_near(out.values, out.expected, kRounding * static_cast<float>(num_k + 1));
}

void check_byte_keys_and_values(const Kernels& kernels, Random& random) {
  const int head_dim = 2 * random.between(1, 70);
  const int num_positions = random.between(1, 50);
  const int num_blocks = (num_positions + kPanelRows - 1) / kPanelRows;
  const int num_rows = random.between(1, 20);
  ByteBlocks blocks{nullptr, 0, head_dim, num_positions};
  const int width = std::max(head_dim, blocks.value_stride());
  blocks.block_bytes =
      static_cast<size_t>(blocks.num_groups()) * ByteBlocks::kScalesBytes + product(kPanelRows, width);
  // Any byte is a quant, but not any two a scale that can be compared.
  Guarded<std::byte> bytes(static_cast<size_t>(num_blocks) * blocks.block_bytes);
  for (auto& byte : bytes) byte = random.chance(0.5) ? std::byte{0x2f} : std::byte{0x31};
  blocks.data = bytes.data();

  const auto a = random_floats(random, product(num_rows, head_dim));
  const int out_stride = num_blocks * kPanelRows + random.between(0, 5);
  const size_t out_size = product(num_rows - 1, out_stride) + product(num_blocks, kPanelRows);
  ByteBlocks whole = blocks;
  whole.num_positions = num_blocks * kPanelRows;
  const Outputs scores(random, out_size);
  kernels.byte_keys(whole, a.data(), head_dim, num_rows, scores.values.data(), out_stride);
  scalar().byte_keys(whole, a.data(), head_dim, num_rows, scores.expected.data(), out_stride);
  require_near(scores.values, scores.expected, 10.0f * kRounding * static_cast<float>(head_dim));

  const auto weights = random_floats(random, product(num_rows, out_stride));
  const int value_stride = blocks.value_stride() + random.between(0, 5);
  const Outputs out(random, product(num_rows - 1, value_stride) + static_cast<size_t>(blocks.value_stride()));
  kernels.byte_values(blocks, weights.data(), out_stride, num_rows, out.values.data(), value_stride);
  scalar().byte_values(blocks, weights.data(), out_stride, num_rows, out.expected.data(), value_stride);
  for (int row = 0; row < num_rows; ++row) {
    for (int dim = 0; dim < head_dim; ++dim) {
      const size_t at = product(row, value_stride) + static_cast<size_t>(dim);
      require_near("a value", out.values[at], out.expected[at],
                   10.0f * kRounding * static_cast<float>(num_positions));
    }
  }
}

}  // namespace phonelm
