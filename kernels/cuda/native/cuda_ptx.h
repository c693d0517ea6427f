#pragma once
// Instructions that CUDA C++ has no word for: products on tensor cores, the loads that feed them, and copies
// that run beside the arithmetic. From sm_80 on. Like cuda_launch.h this file has a second form, the
// emulation's. Fragments are a warp's matrices, of which each lane has a piece (PTX ISA, "Matrix Fragments
// for mma.m16n8k16"); with g = lane / 4 and t = lane % 4:

#include <cuda_runtime.h>

namespace vitrail::cuda {

// A, 16 × 16 in bf16: of[0] has row g, columns 2t and 2t + 1; of[1] row g + 8; of[2] and of[3] the same rows,
// columns 2t + 8 and 2t + 9. The lower column lies in the lower half of the word.
struct alignas(16) FragmentA {
  unsigned of[4];
};
// B, 16 × 8 in bf16: of[0] has rows 2t and 2t + 1 of column g, of[1] rows 2t + 8 and 2t + 9.
struct FragmentB {
  unsigned of[2];
};
// C, 16 × 8 in f32: of[0] and of[1] have row g, columns 2t and 2t + 1; of[2] and of[3] row g + 8.
struct FragmentC {
  float of[4];
};

// c += a · b, by all 32 lanes together; sums in f32.
__device__ __forceinline__ void mma(FragmentC& c, const FragmentA& a, const FragmentB& b) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c.of[0]), "+f"(c.of[1]), "+f"(c.of[2]), "+f"(c.of[3])
      : "r"(a.of[0]), "r"(a.of[1]), "r"(a.of[2]), "r"(a.of[3]), "r"(b.of[0]), "r"(b.of[1]));
}

__device__ __forceinline__ unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// Two or four 8 × 8 matrices of 16-bit numbers from shared memory, by all 32 lanes together. Lanes 8i to
// 8i + 7 give the addresses of the eight rows of matrix i, 16 bytes each and aligned so; of[i] is that
// matrix's row g, columns 2t and 2t + 1.
__device__ __forceinline__ void load_matrices(unsigned (&of)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(of[0]), "=r"(of[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_matrices(unsigned (&of)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(of[0]), "=r"(of[1]), "=r"(of[2]), "=r"(of[3])
               : "r"(shared_address(row))
               : "memory");
}
// The same matrices transposed: of[i] is column g of matrix i, rows 2t and 2t + 1.
__device__ __forceinline__ void load_transposed(unsigned (&of)[2], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
               : "=r"(of[0]), "=r"(of[1])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void load_transposed(unsigned (&of)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(of[0]), "=r"(of[1]), "=r"(of[2]), "=r"(of[3])
               : "r"(shared_address(row))
               : "memory");
}

// Begins a copy of 16 bytes to shared memory, past the registers and the first cache; both sides aligned to
// 16 bytes. Only the first `bytes` (0 to 16) are read, and zeros written for the others.
__device__ __forceinline__ void copy_async(void* shared, const void* global, int bytes = 16) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(shared_address(shared)), "l"(__cvta_generic_to_global(global)), "r"(bytes)
               : "memory");
}
// Makes the thread's copies since the last commit a group.
__device__ __forceinline__ void commit_copies() {
  asm volatile("cp.async.commit_group;" : : : "memory");
}
// Until at most the last `Left` of the thread's groups are on their way. The others' copies are seen by the
// thread itself; by others after a barrier.
template <int Left>
__device__ __forceinline__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(Left) : "memory");
}

// 2^x to about two units of the last place; results below 2^-126 are zero.
__device__ __forceinline__ float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

}  // namespace vitrail::cuda
