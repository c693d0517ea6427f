#pragma once
// How work is cut into tasks: by shape alone, never by the number of threads, so that results do not depend
// on it.

#include <cstdint>

namespace vitrail::cpu::VITRAIL_ISA {

inline constexpr std::int64_t kWantedTasks = 32;  // so that sixteen threads find work of equal size

struct Tile {
  std::int64_t row, col, rows, cols;
};

inline std::int64_t divided_up(std::int64_t value, std::int64_t by) {
  return (value + by - 1) / by;
}
inline std::int64_t smaller(std::int64_t a, std::int64_t b) {
  return a < b ? a : b;
}
inline std::int64_t greater(std::int64_t a, std::int64_t b) {
  return a > b ? a : b;
}

// A (rows, cols) matrix cut into tiles, numbered along the rows first.
struct Tiles {
  std::int64_t rows, cols, tile_rows, tile_cols;

  std::int64_t down() const { return divided_up(rows, tile_rows); }
  std::int64_t across() const { return divided_up(cols, tile_cols); }
  std::int64_t count() const { return down() * across(); }
  Tile at(std::int64_t index) const {
    const std::int64_t row = index / across() * tile_rows;
    const std::int64_t col = index % across() * tile_cols;
    return {row, col, smaller(tile_rows, rows - row), smaller(tile_cols, cols - col)};
  }
};

// The size of equal pieces of at most about `wanted`, whole in multiples of `grain`.
inline std::int64_t piece(std::int64_t total, std::int64_t wanted, std::int64_t grain) {
  const std::int64_t pieces = greater(1, (total + wanted / 2) / wanted);
  return divided_up(divided_up(total, pieces), grain) * grain;
}

}  // namespace vitrail::cpu::VITRAIL_ISA
