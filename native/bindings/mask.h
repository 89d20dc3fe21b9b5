// Token masks as Python gives them: uint32 words, bit t % 32 of word t / 32 is token t's.
#pragma once

#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>

#include <optional>
#include <span>

#include "core/error.h"

namespace phonelm {

using Mask = nanobind::ndarray<const uint32_t, nanobind::ndim<1>, nanobind::c_contig, nanobind::device::cpu>;
using OptionalMask = std::optional<Mask>;

// Empty for no mask. Throws Error for a mask of no words, which the sampler would take for none.
inline std::span<const uint32_t> words(const OptionalMask& mask) {
  if (!mask) return {};
  if (mask->size() == 0) throw Error("the mask has no words; give a bit for each token");
  return {mask->data(), mask->size()};
}

}  // namespace phonelm
