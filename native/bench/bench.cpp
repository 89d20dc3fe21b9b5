#include "bench/bench.h"

#include <random>

#include "core/error.h"
#include "graph/model.h"

namespace phonelm {

namespace {

constexpr size_t kMaxFootprint = size_t{2} << 30;
// The kernels read a little ahead.
constexpr size_t kReadAhead = 4096;
constexpr size_t kSumStride = 8;  // a line of the cache for each thread's

// Bytes that make small normal numbers of both signs in every type (no zeros to skip, no denormals to trip
// over): 0x28 to 0x2b, or 0xa8 to 0xab.
void fill(const Buffer& buffer) {
  std::mt19937_64 random(1);
  auto* words = buffer.as<uint64_t>();
  for (size_t i = 0; i < buffer.size() / sizeof(uint64_t); ++i) {
    words[i] = (random() & 0x8383838383838383u) | 0x2828282828282828u;
  }
}

}  // namespace

void require_measurable(bool holds, const std::string& what) {
  if (!holds) throw Error("cannot measure an operator: " + what);
}

void require_sizes(std::initializer_list<int> sizes) {
  for (const int size : sizes) {
    require_measurable(size > 0 && size <= (1 << 22), "size " + std::to_string(size));
  }
}

Bench::Bench(const BenchOptions& options)
    : options_(options),
      kernels_(select_kernels(options.isa)),
      pool_(resolve_num_threads(options.num_threads)),
      sums_(static_cast<size_t>(pool_.num_threads()) * kSumStride) {
  set(options);
}

bool Bench::is_for(const BenchOptions& options) const {
  return options.isa == options_.isa && options.num_threads == options_.num_threads;
}

void Bench::set(const BenchOptions& options) {
  options_ = options;
  options_.footprint_bytes = std::min(options.footprint_bytes, kMaxFootprint);
}

const std::byte* Bench::arena(size_t num_bytes) {
  require_measurable(num_bytes <= kMaxFootprint, std::to_string(num_bytes) + " bytes of weights");
  const size_t wanted = std::max(num_bytes, options_.footprint_bytes) + kReadAhead;
  if (wanted > arena_.size()) {
    arena_ = Buffer();  // what is there goes first
    arena_ = Buffer(wanted, Pages::Huge);
    fill(arena_);
  }
  return arena_.data();
}

void Bench::read_share(const std::byte* memory, size_t num_bytes, int thread) {
  const auto num_threads = static_cast<size_t>(pool_.num_threads());
  const size_t num_words = num_bytes / num_threads / 64 * 8;
  const auto* words = reinterpret_cast<const uint64_t*>(memory) + static_cast<size_t>(thread) * num_words;
  uint64_t sums[8] = {};
  for (size_t i = 0; i + 8 <= num_words; i += 8) {
    for (size_t lane = 0; lane < 8; ++lane) sums[lane] += words[i + lane];
  }
  for (const uint64_t sum : sums) sums_[static_cast<size_t>(thread) * kSumStride] += sum;
}

}  // namespace phonelm
