#pragma once
#include "kernels/cpu/ops.h"

namespace vitrail::cpu {

// bf16_dot_products: whether the processor multiplies bf16 by vdpbf16ps, and no faster way.
DevicePeak measure_peak(Context& context, const OpTable& ops, bool bf16_dot_products);

}  // namespace vitrail::cpu
