#pragma once
// Permutations as functions of a key.

#include <cstdint>
#include <vector>

#include "kernels/random.h"

namespace vitrail {

// A permutation of [0, size), size < 2^32, all of them equally likely: Fisher and Yates' shuffle, from the
// end. The draw for position i comes from the key's sample i, by Lemire's multiplication with rejection
// ("Fast random integer generation in an interval", arXiv 1805.10941), which has no bias.
std::vector<std::int64_t> random_order(const RandomKey& key, std::int64_t size);

}  // namespace vitrail
