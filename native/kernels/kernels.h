// The table of kernels that one instruction set fills. All of them are compared with the scalar ones in the
// tests.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/neurons.h"
#include "kernels/packed.h"

namespace phonelm {

// The inputs of a matrix product: `num_tokens` rows, as floats for float weights and as int8 groups of 32 for
// quantized ones. Quants are stored by blocks of `block` tokens: token t of block n, group g, lies at
// ((n * num_groups + g) * block + t); a group has a scale.
//
// The error of a group is proportional to its largest value, so that the few groups with outliers make most
// of a row's error. Those get a residual term, the int8 quants of the rounding error of the first: x = scale
// * quant + residual_scale * residual_quant. In a batch they are the groups whose largest value is well above
// the root mean square of all groups' largest (a tenth of them in SmolLM2-135M, whose KL divergence to
// float32 activations falls from 0.0027 to 0.0006). A single token waits for memory, not for arithmetic:
// there, every group has one.
struct Activations {
  const float* values = nullptr;
  int stride = 0;
  int num_tokens = 0;
  int num_groups = 0;
  int block = 1;
  int8_t* quants = nullptr;
  float* scales = nullptr;
  // -8 x the sum of a group's quants: what the zero point of Q4_0 adds to its dot products. Other zero points
  // are multiples of 8.
  int32_t* offsets = nullptr;
  // scale * sum of quants, both terms: what is multiplied with the weights' minima.
  float* scaled_sums = nullptr;
  int8_t* residual_quants = nullptr;
  float* residual_scales = nullptr;
  int32_t* residual_offsets = nullptr;
  // For weights with a scale for 16 columns, of each half of a group: -32 x the sum of its quants (the zero
  // point of Q6_K) and the scaled sum. Half h of the group at `place` lies at 2 * place + h.
  int32_t* half_offsets = nullptr;
  int32_t* residual_half_offsets = nullptr;
  float* scaled_half_sums = nullptr;
  // Which tokens of a block have a residual term in a group: one bit per token, at group_at(token, group) /
  // block.
  uint16_t* residual_tokens = nullptr;
  // A group has a residual term when its largest value is above so many root mean squares of all groups'
  // largest.
  float residual_limit = 0.0f;
  // Each token's result must be what it would be alone, bit by bit: its sums are added in the same order.
  bool batch_invariant = false;

  size_t group_at(int token, int group) const {
    const auto place =
        static_cast<size_t>(token / block) * static_cast<size_t>(num_groups) + static_cast<size_t>(group);
    return place * static_cast<size_t>(block) + static_cast<size_t>(token % block);
  }
};

// Tokens of a block in a batch: as many float accumulators as an AVX-512 kernel can keep beside a tile.
inline constexpr int kTokenBlock = 16;

// `residual_limit` of a batch. Lower is more exact and slower: 1.0 gives SmolLM2-135M 0.0004 at 87 % of the
// speed without residual terms.
inline constexpr float kBatchResidualLimit = 1.25f;
// Half a step of the first term, in steps of the second: the second's quants reach 127 at most.
inline constexpr float kResidualSteps = 254.0f;

// GeluTanh: GELU by its tanh approximation (arXiv 1606.08415).
enum class Activation { Silu, Relu, Relu2, GeluTanh };

// Whether it gives exactly 0 for half of the line.
inline bool has_dead_neurons(Activation activation) {
  return activation == Activation::Relu || activation == Activation::Relu2;
}

// x / (1 + e^(c (x + 0.044715 x^3))) = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
inline constexpr float kGeluExponent = -1.5957691216f;  // -2 sqrt(2 / pi)
inline constexpr float kGeluCubic = 0.044715f;

// Rms: arXiv 1910.07467. Layer: arXiv 1607.06450.
enum class NormKind { Rms, Layer };
// As in arch.Norm.
inline constexpr std::array<const char*, 2> kNormNames{"rmsnorm", "layernorm"};

// out = y / sqrt(mean(y^2) + eps), times `weight` and plus `bias`, each of which may be null. y is x, and for
// Layer x - mean(x).
struct Norm {
  NormKind kind = NormKind::Rms;
  const float* weight = nullptr;
  const float* bias = nullptr;
  float eps = 0.0f;
};

// Keys or values as attention's products take them: panels of 16 columns in fp16, number (k, c) of panel p at
// data[p * panel_step + k * stride + c].
struct HalfPanels {
  const uint16_t* data;
  int num_panels;
  size_t panel_step;
  int num_k;
  int stride;
  // Whether a batch's products may round both sides to bfloat16, as models with quantized weights, whose
  // inputs are rounded more coarsely, do not mind.
  bool may_round = false;

  const uint16_t* panel(int index) const { return data + static_cast<size_t>(index) * panel_step; }
};

// Keys or values in int8 with fp16 scales, as attention's products take them: blocks of 16 positions of one
// head, in which a scale belongs to one position and up to 32 neighbouring dimensions (a group).
//
//   keys     for each group: the 16 positions' scales, then its dimensions, 16 quants each
//   values   for each group: the 16 positions' scales; then for each position its dimensions, padded to 16
struct ByteBlocks {
  static constexpr size_t kScalesBytes = 2 * kPanelRows;

  const std::byte* data;
  size_t block_bytes;
  int head_dim;
  int num_positions;
  bool may_round = false;  // as in HalfPanels

  const std::byte* block(int index) const { return data + static_cast<size_t>(index) * block_bytes; }
  int num_groups() const { return (head_dim + kGroupSize - 1) / kGroupSize; }
  int value_stride() const { return (head_dim + kPanelRows - 1) / kPanelRows * kPanelRows; }
};

struct Kernels {
  const char* name;

  // out[t * out_stride + row] (+)= W x_t for the rows of panels [begin, end) and all tokens of `input`.
  void (*matmul)(const PackedMatrix& weights, int begin, int end, const Activations& input, float* out,
                 int out_stride, bool accumulate);

  // Of one token, all of whose groups have a residual term: out[n] = W x for the neurons listed. `scratch`
  // has room for twice the row's `runs_bytes`.
  void (*neuron_rows)(const NeuronRows& weights, const int32_t* neurons, int num_neurons,
                      const Activations& input, int8_t* scratch, float* out);
  // Of one token: out[r] += W x for rows [begin, end), multiples of kColumnRows; columns whose quants are
  // zero are not read.
  void (*neuron_columns)(const NeuronColumns& weights, int begin, int end, const Activations& input,
                         float* out);

  // out[i * out_stride + 16 p + c] (+)= sum_k a[i * a_stride + k] * w of panel p at (k, c).
  void (*half_panels)(const HalfPanels& w, const float* a, int a_stride, int num_rows, float* out,
                      int out_stride, bool accumulate);

  // Quantizes one token's row: scale = max |x| / 127, quant = round(x / scale). Tokens of a block come in
  // order.
  void (*quantize)(const float* x, int token, const Activations& target);

  // `out` may be `x`.
  void (*norm)(const Norm& norm, const float* x, int size, float* out);
  // gate = act(gate) * up; with up == nullptr, gate = act(gate).
  void (*activate)(Activation kind, float* gate, const float* up, int size);
  // x = exp(x - maximum); returns the sum.
  float (*exponentiate)(float* x, int size, float maximum);
  float (*maximum)(const float* x, int size);
  void (*scale)(float* x, int size, float factor);
  void (*to_half)(const float* x, int size, uint16_t* out);

  // out[i * out_stride + position] = a_i times the keys of all positions, up to the end of the last block.
  void (*byte_keys)(const ByteBlocks& w, const float* a, int a_stride, int num_rows, float* out,
                    int out_stride);
  // out[i * out_stride + dim] += sum over the positions of a[i * a_stride + position] times the values. Rows
  // of `a` can be read to the end of the last block, rows of `out` are padded to 16.
  void (*byte_values)(const ByteBlocks& w, const float* a, int a_stride, int num_rows, float* out,
                      int out_stride);
};

// Instruction sets of this build that this machine can run, slowest first.
std::vector<const Kernels*> available_kernels();

// By name; "" takes the environment's PHONELM_ISA, or else the fastest. Throws Error for one that is unknown
// or that the machine lacks.
const Kernels& select_kernels(const std::string& name);

}  // namespace phonelm
