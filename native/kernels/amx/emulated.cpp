#include "kernels/amx/emulated.h"

#include <cstring>
#include <stdexcept>

#include "kernels/amx/matmul.h"

namespace phonelm {
namespace {

// What Intel's manual says of the instructions, palette 1; where the processor would stop the program, this
// throws.
class EmulatedTiles {
 public:
  explicit EmulatedTiles(const TileConfig& config) : config_(config) {
    bool valid = config.palette == 1 && config.start_row == 0;
    for (int tile = 0; tile < 16; ++tile) {
      const bool used = config.rows[tile] > 0;
      valid = valid && used == (config.row_bytes[tile] > 0) && (tile < kNumTiles || !used);
      valid = valid && config.rows[tile] <= kMaxRows && config.row_bytes[tile] <= kRowBytes;
    }
    for (const uint8_t byte : config.reserved) valid = valid && byte == 0;
    require(valid);
  }

  template <int tile>
  void load(const void* rows, size_t stride) {
    require_configured(tile);
    clear(tile);
    for (size_t row = 0; row < config_.rows[tile]; ++row) {
      std::memcpy(tiles_[tile][row], static_cast<const char*>(rows) + row * stride, config_.row_bytes[tile]);
    }
  }

  template <int tile>
  void store(void* rows, size_t stride) {
    require_configured(tile);
    for (size_t row = 0; row < config_.rows[tile]; ++row) {
      std::memcpy(static_cast<char*>(rows) + row * stride, tiles_[tile][row], config_.row_bytes[tile]);
    }
  }

  template <int tile>
  void zero() {
    require_configured(tile);
    clear(tile);
  }

  template <int dots, int a, int b>
  void multiply() {
    for (const int tile : {dots, a, b}) require_configured(tile);
    const TileConfig& c = config_;
    require(dots != a && dots != b && a != b && c.rows[dots] == c.rows[a] &&
            c.row_bytes[dots] == c.row_bytes[b] && c.row_bytes[a] == 4 * c.rows[b] &&
            c.row_bytes[dots] % 4 == 0);
    for (int row = 0; row < c.rows[dots]; ++row) {
      for (int col = 0; col < c.row_bytes[dots]; col += 4) add_products(tiles_[dots], row, col, a, b);
    }
  }

 private:
  static constexpr int kNumTiles = 8;
  static constexpr int kMaxRows = 16;
  using Tile = int8_t[kMaxRows][kRowBytes];

  static void require(bool holds) {
    if (!holds) throw std::logic_error("the processor would refuse this use of its tiles");
  }
  void require_configured(int tile) const { require(tile < kNumTiles && config_.rows[tile] > 0); }
  void clear(int tile) { std::memset(tiles_[tile], 0, sizeof(Tile)); }

  // The 32-bit sum at byte `col` of a row, with wrap-around.
  void add_products(Tile& dots, int row, int col, int a, int b) {
    uint32_t sum;
    std::memcpy(&sum, dots[row] + col, 4);
    for (int i = 0; i < config_.row_bytes[a]; ++i) {
      sum += static_cast<uint32_t>(tiles_[a][row][i] * tiles_[b][i / 4][col + i % 4]);
    }
    std::memcpy(dots[row] + col, &sum, 4);
  }

  TileConfig config_;
  Tile tiles_[kNumTiles] = {};
};

}  // namespace

const Kernels& emulated_amx_kernels() {
  static const Kernels table = with_matmul("amx-emulated", matmul<EmulatedTiles>);
  return table;
}

}  // namespace phonelm
