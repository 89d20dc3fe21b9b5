// The order of the sums of 8 rows and one token: by rows.
#pragma once

#include "kernels/neon/weights.h"

namespace phonelm {
namespace {

struct ByRows {
  static constexpr int tokens = 1;
  static constexpr int vectors = 2;

  static void arrange(FourRows&) {}
  static void spread(const float32x4_t (&rows)[2], float32x4_t (&values)[2]) {
    for (int r = 0; r < 2; ++r) values[r] = rows[r];
  }
  static float32x4_t by_token(const float* value, int) { return vdupq_n_f32(*value); }
  static int32x4_t by_token(const int32_t* value, int) { return vdupq_n_s32(*value); }
  static float32x4_t keep(float32x4_t values, unsigned) { return values; }
  static void store(const float32x4_t (&sums)[2], float* out, int, bool accumulate) {
    for (int r = 0; r < 2; ++r) store_four(sums[r], out + 4 * r, accumulate);
  }
};

}  // namespace
}  // namespace phonelm
