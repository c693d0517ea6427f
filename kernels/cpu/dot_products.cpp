// Compiled for AVX512-BF16 alone.
#include "kernels/cpu/attention_bf16.h"
#include "kernels/cpu/pair_product.h"

namespace vitrail::cpu::VITRAIL_ISA {

extern const DotProducts kDotProducts;
constexpr DotProducts kDotProducts = {multiply_pairs, attention_bf16, attention_bf16};

}  // namespace vitrail::cpu::VITRAIL_ISA
