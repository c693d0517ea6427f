#pragma once
// How much of the forward a backward finds kept, and how much it makes again. The results are the same, bit
// for bit, but for gelu of the tanh form on a GPU, where the forward has cuBLASLt's.

#include <cstdint>

namespace vitrail {

enum class Recompute : std::uint8_t {
  none,   // all that is read is kept
  gelu,   // what a pass over elements makes again is not kept: the outputs of the norms and of the GELU
  block,  // the input of each block alone is kept: its forward runs again (Chen et al., arXiv 1604.06174)
};

const char* name_of(Recompute level);  // "none", "gelu", "block"

}  // namespace vitrail
