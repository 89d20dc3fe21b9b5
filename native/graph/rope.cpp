#include "graph/rope.h"

#include <cmath>
#include <numbers>

namespace phonelm {

namespace {

float angle_of(const ModelConfig& config, int64_t position, float frequency) {
  if (position < config.context_length) return static_cast<float>(position) * frequency;
  const double angle = static_cast<double>(position) * static_cast<double>(frequency);
  return static_cast<float>(std::fmod(angle, 2.0 * std::numbers::pi));
}

}  // namespace

std::vector<float> rope_frequencies(float theta, int rope_dim) {
  std::vector<float> frequencies;
  for (int i = 0; i < rope_dim / 2; ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(rope_dim);
    frequencies.push_back(1.0f / std::pow(theta, exponent));
  }
  return frequencies;
}

Rope plain_rope(float theta, int rope_dim) {
  Rope rope;
  rope.frequencies = rope_frequencies(theta, rope_dim);
  rope.keys.theta = theta;
  return rope;
}

void rope_angles(const ModelConfig& config, int64_t position, bool is_long, float* cosines, float* sines) {
  for (const Rope& rope : config.ropes) {
    const bool takes_long = is_long && !rope.long_frequencies.empty();
    for (const float frequency : takes_long ? rope.long_frequencies : rope.frequencies) {
      const float angle = angle_of(config, position, frequency);
      float cosine = std::cos(angle);
      float sine = std::sin(angle);
      if (rope.int8) {
        cosine = std::nearbyint(127.0f * cosine) / 127.0f;
        sine = std::nearbyint(127.0f * sine) / 127.0f;
      }
      *cosines++ = cosine * rope.magnitude;
      *sines++ = sine * rope.magnitude;
    }
  }
}

void rope_rotate(const Rope& rope, const float* cosines, const float* sines, float* head) {
  const int half = rope.num_pairs();
  const int step = rope.interleaved ? 2 : 1;
  const int distance = rope.interleaved ? 1 : half;
  for (int i = 0; i < half; ++i) {
    float& a = head[i * step];
    float& b = head[i * step + distance];
    const float rotated = a * cosines[i] - b * sines[i];
    b = b * cosines[i] + a * sines[i];
    a = rotated;
  }
}

}  // namespace phonelm
