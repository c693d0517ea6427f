#pragma once
// The GELU where no product's epilogue has it.

#include "kernels/cuda/context.h"
#include "kernels/gelu.h"

namespace vitrail::cuda {

// y = dropout(gelu(pre)); y may be pre.
void apply_gelu(const Context& context, Out y, In pre, GeluKind gelu, const Dropout& dropout);

// dx = dx ∘ mask ∘ gelu'(pre)
void through_gelu(const Context& context, Out dx, In pre, GeluKind gelu, const Dropout& dropout);

}  // namespace vitrail::cuda
