// The shapes of the tile registers, as `ldtilecfg` reads them.
#pragma once

#include <cstdint>

namespace phonelm {

struct TileConfig {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};
static_assert(sizeof(TileConfig) == 64);

}  // namespace phonelm
