#include "graph/rope.h"

#include <cmath>

namespace phonelm {

void rope_angles(const ModelConfig& config, int position, float* cosines, float* sines) {
  for (int i = 0; i < config.rope_dim / 2; ++i) {
    const float angle = static_cast<float>(position) * config.rope_frequencies[static_cast<size_t>(i)];
    cosines[i] = std::cos(angle);
    sines[i] = std::sin(angle);
    if (config.rope_int8) {
      cosines[i] = std::nearbyint(127.0f * cosines[i]) / 127.0f;
      sines[i] = std::nearbyint(127.0f * sines[i]) / 127.0f;
    }
  }
}

void rope_rotate(const ModelConfig& config, const float* cosines, const float* sines, float* head) {
  const int half = config.rope_dim / 2;
  const int step = config.rope_interleaved ? 2 : 1;
  const int distance = config.rope_interleaved ? 1 : half;
  for (int i = 0; i < half; ++i) {
    float& a = head[i * step];
    float& b = head[i * step + distance];
    const float rotated = a * cosines[i] - b * sines[i];
    b = b * cosines[i] + a * sines[i];
    a = rotated;
  }
}

}  // namespace phonelm
