#pragma once
// A warp's instructions on fragments (PTX ISA: mma, ldmatrix). The last lane to come computes for all 32.

#include "tests/cuda_emulation/grid.h"

namespace cuda_emulation {

// c (16 × 8, f32) += a (16 × 16, bf16) · b (16 × 8, bf16)
void mma_m16n8k16(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2], const Site& site);

// `count` 8 × 8 matrices of 16-bit numbers, of which this lane gets one word each, and gives one row.
void ldmatrix(unsigned* of, int count, bool transposed, const void* row, const Site& site);

}  // namespace cuda_emulation
