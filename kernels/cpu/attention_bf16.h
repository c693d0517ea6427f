#pragma once
// Attention in bf16, reached through execute() of kernels/cpu/attention.cpp.

#include "kernels/attention.h"
#include "kernels/cpu/context.h"

namespace vitrail::cpu::VITRAIL_ISA {

void attention_bf16(Context& context, const AttentionForward& op);
void attention_bf16(Context& context, const AttentionBackward& op);

}  // namespace vitrail::cpu::VITRAIL_ISA
