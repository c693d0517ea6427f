#pragma once
// Copies of fewer bits that stand in for a network's matrices while it runs and is not trained: bf16, or int8
// with a scale for each row (kernels/quantize.h). What no product of the blocks reads stays f32; in int8 the
// patch embedding too.

#include <functional>

#include "engine/arena.h"
#include "engine/vit_params.h"

namespace vitrail {

// Whether a network that computes in dtype has such copies.
bool is_narrow(DType dtype);

// The dtype in which such a network keeps what goes from layer to layer.
DType activations_dtype(DType dtype);

// A copy that is to stand in for a layer's weight.
struct NarrowLayer {
  LinearParams& params;
  Out weight;
  Out scale, sum;  // (out) f32, beside int8
};

// Lets fill make the copy of each matrix, and puts them into params in the matrices' place. Returns their
// memory.
Arena narrow_weights(Backend& backend, VitParams& params, DType dtype,
                     const std::function<void(const NarrowLayer&)>& fill);

// Makes a copy of `from`, (out, in) f32.
void narrow(Backend& backend, const NarrowLayer& layer, In from);

}  // namespace vitrail
