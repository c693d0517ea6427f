#pragma once
// Which random numbers a pass through the network uses: by seed, step and sample, never by what ran before.

#include "kernels/dropout.h"

namespace vitrail {

struct Draws {
  bool train = false;  // otherwise nothing is dropped
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::uint32_t first_sample = 0;  // of this micro-batch, within the step

  Dropout dropout(double rate, Purpose purpose, std::int64_t layer) const {
    return {train ? rate : 0, {seed, purpose, static_cast<std::uint32_t>(layer), step}, first_sample};
  }
};

}  // namespace vitrail
