#pragma once
// The CUDA ops: each puts its kernels into the context's stream and returns. In f32 or bf16; statistics and
// sums in f32, but for the gradients' norm (f64).

#include "kernels/backend.h"
#include "kernels/cuda/context.h"

namespace vitrail::cuda {

#define VITRAIL_OP(Op) void execute(Context& context, const Op& op);
VITRAIL_EACH_OP(VITRAIL_OP)
#undef VITRAIL_OP

}  // namespace vitrail::cuda
