#pragma once
// The emulated side of kernels/cuda/native/cuda_ptx.h, where the words are explained.

#include <cuda_runtime.h>

#include "tests/cuda_emulation/async_copies.h"
#include "tests/cuda_emulation/tensor_core.h"

namespace vitrail::cuda {

struct alignas(16) FragmentA {
  unsigned of[4];
};
struct FragmentB {
  unsigned of[2];
};
struct FragmentC {
  float of[4];
};

// The caller's place: a default argument is evaluated where the call stands.
#define VITRAIL_SITE const char *file = __builtin_FILE(), int line = __builtin_LINE()

inline void mma(FragmentC& c, const FragmentA& a, const FragmentB& b, VITRAIL_SITE) {
  cuda_emulation::mma_m16n8k16(c.of, a.of, b.of, {file, line});
}

template <int Count>
void load_matrices(unsigned (&of)[Count], const void* row, VITRAIL_SITE) {
  static_assert(Count == 2 || Count == 4);
  cuda_emulation::ldmatrix(of, Count, false, row, {file, line});
}
template <int Count>
void load_transposed(unsigned (&of)[Count], const void* row, VITRAIL_SITE) {
  static_assert(Count == 2 || Count == 4);
  cuda_emulation::ldmatrix(of, Count, true, row, {file, line});
}

inline void copy_async(void* shared, const void* global, int bytes = 16, VITRAIL_SITE) {
  cuda_emulation::start_copy(shared, global, bytes, {file, line});
}
inline void commit_copies() {
  cuda_emulation::commit_copies();
}
template <int Left>
void wait_for_copies() {
  static_assert(Left >= 0);
  cuda_emulation::wait_for_copies(Left);
}
#undef VITRAIL_SITE

inline float fast_exp2(float x) {
  const float y = ::exp2f(x);
  return y < 0x1p-126f ? 0.0f : y;
}

}  // namespace vitrail::cuda
