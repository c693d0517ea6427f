#pragma once
// Between the residual stream and the product of a branch: dropout, LayerScale, stochastic depth.

#include "kernels/cuda/context.h"
#include "kernels/linear.h"

namespace vitrail::cuda {

// y = residual + path · gamma ∘ mask ∘ product;   op.branch = mask ∘ product, which may lie there already.
void add_branch(const Context& context, const LinearResidualForward& op, In product);

// dbranch = path · mask · gamma ∘ dy,   dgamma += Σ path · branch ∘ dy. Returns where dbranch is: dy itself
// when nothing stands between, not even rounding. Uses the context's sum_scratch.
In branch_gradient(Context& context, const LinearResidualBackward& op);

}  // namespace vitrail::cuda
