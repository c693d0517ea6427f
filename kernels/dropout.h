#pragma once
// Dropout as a property of other ops: the mask is a function of (key, sample, element) and is computed again
// in the backward, never stored. Survivors are divided by the probability of keeping (inverted dropout, as in
// PyTorch), so inference needs no scaling.

#include "kernels/random.h"
#include "kernels/view.h"

namespace vitrail {

struct Dropout {
  double rate = 0;  // probability that an element is zeroed; 0 switches it off; below 1
  RandomKey key;
  // Number, within the whole step, of the first sample of this micro-batch: so the mask of a sample does not
  // depend on how a step is cut into micro-batches.
  std::uint32_t first_sample = 0;
};

// Element e of sample s (s counts from first_sample) is dropped when
// uniform(random4(key, s, e / 4)[e % 4]) < rate.

// y = x · mask / (1 − rate). Its own backward: run it on dy with the same Dropout.
struct ApplyDropout {
  static constexpr const char* kName = "dropout";
  Out y;  // (samples, …), may be x itself
  In x;   // (samples, …)
  Dropout dropout;
  void check() const;
};

}  // namespace vitrail
