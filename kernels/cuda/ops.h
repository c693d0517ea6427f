#pragma once
// The CUDA ops: each puts its kernels into the context's stream and returns. In f32; statistics and sums too,
// but for the gradients' norm (f64).

#include "kernels/backend.h"
#include "kernels/cuda/context.h"

namespace vitrail::cuda {

#define VITRAIL_OP(Op) void execute(Context& context, const Op& op);
VITRAIL_EACH_OP(VITRAIL_OP)
#undef VITRAIL_OP

}  // namespace vitrail::cuda
