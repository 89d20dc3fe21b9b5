// Reading a tile back, number by number: the embedding lookup and the scalar kernels.
#pragma once

#include "kernels/packed.h"

namespace phonelm {

// One row of a group in a tile.
struct GroupRow {
  // One for each half of the columns; types with one scale have it twice. Minima are 0 where there are none.
  float scales[2];
  float minima[2];
  // 0 to 255.
  uint8_t levels[kGroupSize];
};

void read_group(const TileFormat& format, const std::byte* tile, int group, int row, GroupRow& out);

}  // namespace phonelm
