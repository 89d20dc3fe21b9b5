// The reference: plain loops that say what each kernel means. Slow on purpose, and run on any machine.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "core/f16.h"
#include "kernels/tables.h"
#include "kernels/tiles.h"

namespace phonelm {
namespace {

// A group of one token's quants, one term.
struct Term {
  const int8_t* quants;
  float scale;
};

// Both halves of a row's group times a term: integer sums, then floats.
float term_product(const GroupRow& row, int zero, const Term& term) {
  float sum = 0.0f;
  for (int half = 0; half < 2; ++half) {
    int dot = 0;
    for (int col = half * kHalfGroup; col < (half + 1) * kHalfGroup; ++col) {
      dot += (row.levels[col] - zero) * term.quants[col];
    }
    sum += row.scales[half] * term.scale * static_cast<float>(dot);
  }
  return sum;
}

// Rows 0 to 15 of a panel against one token.
void quantized_panel(const PackedMatrix& weights, const std::byte* panel, const Activations& input, int token,
                     float* sums) {
  const TileFormat format = tile_format(weights.type);
  for (int group = 0; group < input.num_groups; ++group) {
    const size_t at = input.group_at(token, group);
    const Term first{input.quants + at * kGroupSize, input.scales[at]};
    const Term second{input.residual_quants + at * kGroupSize, input.residual_scales[at]};
    const bool has_residual =
        (input.residual_tokens[at / static_cast<size_t>(input.block)] >> (token % input.block)) & 1;
    const std::byte* tile = panel + static_cast<size_t>(group / format.num_groups()) * format.num_bytes();
    for (int r = 0; r < kPanelRows; ++r) {
      GroupRow row;
      read_group(format, tile, group % format.num_groups(), r, row);
      sums[r] += term_product(row, format.zero, first);
      if (has_residual) sums[r] += term_product(row, format.zero, second);
      if (!format.has_minimum) continue;
      for (size_t half = 0; half < 2; ++half)
        sums[r] += row.minima[half] * input.scaled_half_sums[2 * at + half];
    }
  }
}

float float_weight(TensorType type, const std::byte* data) {
  if (type == TensorType::F32) {
    float value;
    std::memcpy(&value, data, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, data, 2);
  return type == TensorType::F16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

void float_panel(const PackedMatrix& weights, const std::byte* panel, const float* x, float* sums) {
  const size_t width = tile_bytes(weights.type) / kPanelRows;
  for (int col = 0; col < weights.cols; ++col) {
    for (int row = 0; row < kPanelRows; ++row, panel += width) {
      sums[row] += float_weight(weights.type, panel) * x[col];
    }
  }
}

void matmul(const PackedMatrix& weights, int begin, int end, const Activations& input, float* out,
            int out_stride, bool accumulate) {
  for (int panel = begin; panel < end; ++panel) {
    for (int token = 0; token < input.num_tokens; ++token) {
      float sums[kPanelRows] = {};
      if (weights.quantized()) {
        quantized_panel(weights, weights.panel(panel), input, token, sums);
      } else {
        float_panel(weights, weights.panel(panel), input.values + static_cast<size_t>(token) * input.stride,
                    sums);
      }
      float* target = out + static_cast<size_t>(token) * out_stride + panel * kPanelRows;
      for (int row = 0; row < kPanelRows; ++row) target[row] = (accumulate ? target[row] : 0.0f) + sums[row];
    }
  }
}

float half_at(const std::byte* data, int index) {
  uint16_t bits;
  std::memcpy(&bits, data + 2 * index, 2);
  return f16_to_f32(bits);
}

// Column c of a group in a row that is stored neuron by neuron.
int row_quant(const NeuronRows& weights, const std::byte* row, int group, int col) {
  const bool four_bit = weights.type == TensorType::Q4_0;
  const int begin = group / kRunGroups * kRunGroups;
  const int num_groups = std::min(kRunGroups, weights.num_groups() - begin);
  const auto* run =
      reinterpret_cast<const uint8_t*>(row) + weights.scales_bytes() + begin * (four_bit ? 16 : 32);
  const int piece = four_bit ? col / 8 : col / 4;
  const int byte = run[4 * (piece * num_groups + group - begin) + col % 4];
  return four_bit ? ((byte >> (col % 8 / 4 * 4)) & 15) - 8 : byte - 128;
}

float neuron_row(const NeuronRows& weights, int neuron, const Activations& input) {
  const std::byte* row = weights.row(neuron);
  float sum = 0.0f;
  for (int group = 0; group < weights.num_groups(); ++group) {
    const bool has_residual = input.residual_tokens[group] & 1;
    int dot = 0;
    int residual_dot = 0;
    for (int col = 0; col < kGroupSize; ++col) {
      const int quant = row_quant(weights, row, group, col);
      dot += quant * input.quants[group * kGroupSize + col];
      residual_dot += quant * input.residual_quants[group * kGroupSize + col];
    }
    const float scale = half_at(row, group);
    sum += scale * input.scales[group] * static_cast<float>(dot);
    if (has_residual) sum += scale * input.residual_scales[group] * static_cast<float>(residual_dot);
  }
  return sum;
}

void neuron_rows(const NeuronRows& weights, const int32_t* neurons, int num_neurons, const Activations& input,
                 int8_t*, float* out) {
  for (int i = 0; i < num_neurons; ++i) out[neurons[i]] = neuron_row(weights, neurons[i], input);
}

int column_quant(TensorType type, const std::byte* column, int row) {
  if (type == TensorType::Q8_0) return static_cast<int8_t>(column[row]);
  const int place = row % 16 / 4 * 8 + row % 4 + row % 32 / 16 * 4;
  return ((static_cast<int>(column[row / 64 * 32 + place]) >> (row % 64 / 32 * 4)) & 15) - 8;
}

void neuron_columns(const NeuronColumns& weights, int begin, int end, const Activations& input, float* out) {
  for (int group = 0; group < weights.num_groups(); ++group) {
    const std::byte* columns = weights.group(group) + weights.scales_bytes();
    const bool has_residual = input.residual_tokens[group] & 1;
    if (input.scales[group] == 0.0f) continue;
    for (int row = begin; row < end; ++row) {
      int dot = 0;
      int residual_dot = 0;
      for (int i = 0; i < kGroupSize; ++i) {
        const int quant =
            column_quant(weights.type, columns + static_cast<size_t>(i) * weights.column_bytes, row);
        dot += quant * input.quants[group * kGroupSize + i];
        residual_dot += quant * input.residual_quants[group * kGroupSize + i];
      }
      float sum = input.scales[group] * static_cast<float>(dot);
      if (has_residual) sum += input.residual_scales[group] * static_cast<float>(residual_dot);
      out[row] += half_at(weights.group(group), row) * sum;
    }
  }
}

void half_panels(const HalfPanels& w, const float* a, int a_stride, int num_rows, float* out, int out_stride,
                 bool accumulate) {
  for (int row = 0; row < num_rows; ++row) {
    for (int col = 0; col < w.num_panels * kPanelRows; ++col) {
      const uint16_t* column = w.panel(col / kPanelRows) + col % kPanelRows;
      float sum = accumulate ? out[row * out_stride + col] : 0.0f;
      for (int k = 0; k < w.num_k; ++k) sum += a[row * a_stride + k] * f16_to_f32(column[k * w.stride]);
      out[row * out_stride + col] = sum;
    }
  }
}

float largest_of(const float* x) {
  float largest = 0.0f;
  for (int i = 0; i < kGroupSize; ++i) largest = std::max(largest, std::fabs(x[i]));
  return largest;
}

// Quants of half a group; returns their sum and leaves the rounding error in `x`.
int32_t quantize_half(float* x, float scale, int8_t* quants) {
  int32_t sum = 0;
  for (int i = 0; i < kHalfGroup; ++i) {
    // The bounds also turn NaN, which a broken file can bring, into a number.
    const float quant =
        scale > 0.0f ? std::fmin(std::fmax(std::nearbyint(x[i] / scale), -127.0f), 127.0f) : 0.0f;
    quants[i] = static_cast<int8_t>(quant);
    x[i] -= scale * quant;
    sum += quants[i];
  }
  return sum;
}

// One term of the group at `at`: its quants, and what they add to the sums.
void quantize_term(float* x, float scale, size_t at, int8_t* quants, int32_t* offsets, int32_t* half_offsets,
                   const Activations& target) {
  int32_t sum = 0;
  for (size_t half = 0; half < 2; ++half) {
    const size_t begin = half * kHalfGroup;
    const int32_t half_sum = quantize_half(x + begin, scale, quants + at * kGroupSize + begin);
    half_offsets[2 * at + half] = -32 * half_sum;
    target.scaled_half_sums[2 * at + half] += scale * static_cast<float>(half_sum);
    sum += half_sum;
  }
  offsets[at] = -8 * sum;
  target.scaled_sums[at] += scale * static_cast<float>(sum);
}

void quantize(const float* x, int token, const Activations& target) {
  float squares = 0.0f;
  for (int group = 0; group < target.num_groups; ++group) {
    const float largest = largest_of(x + group * kGroupSize);
    squares += largest * largest;
  }
  const float limit = target.residual_limit * std::sqrt(squares / static_cast<float>(target.num_groups));
  for (int group = 0; group < target.num_groups; ++group) {
    float rest[kGroupSize];
    std::copy_n(x + group * kGroupSize, kGroupSize, rest);
    const float largest = largest_of(rest);
    const size_t at = target.group_at(token, group);
    target.scales[at] = largest / 127.0f;
    target.scaled_sums[at] = 0.0f;
    std::fill_n(target.scaled_half_sums + 2 * at, 2, 0.0f);
    quantize_term(rest, target.scales[at], at, target.quants, target.offsets, target.half_offsets, target);
    uint16_t& residual_tokens = target.residual_tokens[at / static_cast<size_t>(target.block)];
    const int bit = token % target.block;
    if (bit == 0) residual_tokens = 0;
    if (!(largest > limit)) continue;
    residual_tokens = static_cast<uint16_t>(residual_tokens | (1 << bit));
    target.residual_scales[at] = target.scales[at] / kResidualSteps;
    quantize_term(rest, target.residual_scales[at], at, target.residual_quants, target.residual_offsets,
                  target.residual_half_offsets, target);
  }
}

double mean_of(const Norm& norm, const float* x, int size) {
  return norm.kind == NormKind::Layer ? std::accumulate(x, x + size, 0.0) / size : 0.0;
}

float norm_factor(const Norm& norm, const float* x, int size, double mean) {
  double sum = 0.0;
  for (int i = 0; i < size; ++i) sum += (x[i] - mean) * (x[i] - mean);
  return static_cast<float>(1.0 / std::sqrt(sum / size + norm.eps));
}

void norm(const Norm& norm, const float* x, int size, float* out) {
  const double mean = mean_of(norm, x, size);
  const float factor = norm_factor(norm, x, size, mean);
  for (int i = 0; i < size; ++i) {
    auto value = static_cast<float>(x[i] - mean) * factor;
    if (norm.weight) value *= norm.weight[i];
    if (norm.bias) value += norm.bias[i];
    out[i] = value;
  }
}

float activated(Activation kind, float x) {
  const float live = std::max(x, 0.0f);
  switch (kind) {
    case Activation::Silu:
      return x / (1.0f + std::exp(-x));
    case Activation::Relu:
      return live;
    case Activation::Relu2:
      return live * live;
    case Activation::GeluTanh:
      return x / (1.0f + std::exp(kGeluExponent * (x + kGeluCubic * x * x * x)));
  }
  return x;
}

void activate(Activation kind, float* gate, const float* up, int size) {
  for (int i = 0; i < size; ++i) {
    const float y = activated(kind, gate[i]);
    gate[i] = up ? y * up[i] : y;
  }
}

float exponentiate(float* x, int size, float maximum) {
  float sum = 0.0f;
  for (int i = 0; i < size; ++i) sum += x[i] = std::exp(x[i] - maximum);
  return sum;
}

float maximum(const float* x, int size) { return *std::max_element(x, x + size); }

void scale(float* x, int size, float factor) {
  for (int i = 0; i < size; ++i) x[i] *= factor;
}

void to_half(const float* x, int size, uint16_t* out) {
  for (int i = 0; i < size; ++i) out[i] = f32_to_f16(x[i]);
}

// Quant and scale of a key's dimension, or of a value's.
float byte_key(const ByteBlocks& w, int position, int dim) {
  const int group = dim / kGroupSize;
  const std::byte* place = w.block(position / kPanelRows) +
                           static_cast<size_t>(group) * (ByteBlocks::kScalesBytes + kGroupSize * kPanelRows);
  const auto* quants = reinterpret_cast<const int8_t*>(place + ByteBlocks::kScalesBytes);
  const int lane = position % kPanelRows;
  return half_at(place, lane) * static_cast<float>(quants[dim % kGroupSize * kPanelRows + lane]);
}

float byte_value(const ByteBlocks& w, int position, int dim) {
  const std::byte* block = w.block(position / kPanelRows);
  const int lane = position % kPanelRows;
  const size_t scales_bytes = static_cast<size_t>(w.num_groups()) * ByteBlocks::kScalesBytes;
  const auto* quants = reinterpret_cast<const int8_t*>(block + scales_bytes);
  return half_at(block, dim / kGroupSize * kPanelRows + lane) *
         static_cast<float>(quants[lane * w.value_stride() + dim]);
}

void byte_keys(const ByteBlocks& w, const float* a, int a_stride, int num_rows, float* out, int out_stride) {
  for (int row = 0; row < num_rows; ++row) {
    for (int position = 0; position < w.num_positions; ++position) {
      float sum = 0.0f;
      for (int dim = 0; dim < w.head_dim; ++dim) sum += a[row * a_stride + dim] * byte_key(w, position, dim);
      out[row * out_stride + position] = sum;
    }
  }
}

void byte_values(const ByteBlocks& w, const float* a, int a_stride, int num_rows, float* out,
                 int out_stride) {
  for (int row = 0; row < num_rows; ++row) {
    for (int dim = 0; dim < w.head_dim; ++dim) {
      float& sum = out[row * out_stride + dim];
      for (int position = 0; position < w.num_positions; ++position) {
        sum += a[row * a_stride + position] * byte_value(w, position, dim);
      }
    }
  }
}

}  // namespace

constinit const Kernels kScalarKernels{
    .name = "scalar",
    .matmul = matmul,
    .neuron_rows = neuron_rows,
    .neuron_columns = neuron_columns,
    .half_panels = half_panels,
    .quantize = quantize,
    .norm = norm,
    .activate = activate,
    .exponentiate = exponentiate,
    .maximum = maximum,
    .scale = scale,
    .to_half = to_half,
    .byte_keys = byte_keys,
    .byte_values = byte_values,
};

}  // namespace phonelm
