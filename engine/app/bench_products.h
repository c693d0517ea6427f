#pragma once
// The matrix products of a step alone: the same shapes through the same backend, without biases, epilogues
// and whatever else a step does.

#include <map>

#include "kernels/backend.h"

namespace vitrail::app {

// Seconds of all products with weights in a profile (each shape is timed once, as a median, and counts as
// often as it was called), and their FLOPs.
struct ProductsTime {
  double seconds = 0, flops = 0;
};
ProductsTime time_products(Backend& backend, DType dtype, const std::map<std::string, OpTime>& profile);

}  // namespace vitrail::app
