// Where the time of a pass goes, by part of the model. One thread's clock runs from part to part without a
// gap, waiting at barriers included, so that the parts add up to the whole.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>

namespace phonelm {

enum class Part {
  Norms,        // before attention, FFN and head, with the rounding of what they give
  Projections,  // queries, keys, values, and attention's output
  Attention,    // rotation, the cache, and attention itself
  Ffn,
  Head,
  Overhead,  // planning, waking the threads, the embedding, the rotary angles
};
inline constexpr std::array<const char*, 6> kPartNames{"norms", "projections", "attention",
                                                       "ffn",   "head",        "overhead"};

class PartClock {
 public:
  // What follows belongs to the part of the next `lap`.
  void start() { last_ = Clock::now(); }
  // The time since the last call was this part's.
  void lap(Part part) {
    const Clock::time_point now = Clock::now();
    seconds_[static_cast<size_t>(part)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }
  const std::array<double, kPartNames.size()>& seconds() const { return seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point last_;
  std::array<double, kPartNames.size()> seconds_{};
};

}  // namespace phonelm
