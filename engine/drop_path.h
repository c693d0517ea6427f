#pragma once
// Stochastic depth: the rate rises in a straight line over the blocks (timm's drop_path schedule), and both
// halves of a block draw for themselves.

#include "engine/draws.h"
#include "engine/vit_config.h"

namespace vitrail {

enum class BlockHalf : std::uint8_t { attention, mlp };

inline Dropout drop_path(const VitConfig& config, std::int64_t block, BlockHalf half, const Draws& draws) {
  const double rate = config.depth > 1 ? config.drop_path_rate * double(block) / double(config.depth - 1) : 0;
  return draws.dropout(rate, Purpose::drop_path, 2 * block + static_cast<std::int64_t>(half));
}

}  // namespace vitrail
