#pragma once
// One matrix product on one thread, called from inside a task: who multiplies is chosen at run time.

#include <cstdint>

#include "kernels/cpu/context.h"

namespace vitrail::cpu {

// c = alpha · op(a) · op(b) + beta · c, row-major; strides are in elements, from row to row as stored.
template <class T>
struct Product {
  std::int64_t m, n, k;
  const T* a;  // (m, k), or (k, m) when a_transposed
  std::int64_t a_stride;
  bool a_transposed;
  const T* b;  // (k, n), or (n, k) when b_transposed
  std::int64_t b_stride;
  bool b_transposed;
  T* c;  // (m, n); not read when beta is 0
  std::int64_t c_stride;
  T alpha = 1;
  T beta = 0;
};

// c = op(a) · op(b), or c += with accumulate: f32 sums of bf16 products. Otherwise as Product.
struct Bf16Product {
  std::int64_t m, n, k;
  const Bf16* a;
  std::int64_t a_stride;
  bool a_transposed;
  const Bf16* b;
  std::int64_t b_stride;
  bool b_transposed;
  float* c;
  std::int64_t c_stride;
  bool accumulate = false;
};

// Whether this build has oneDNN; without it multiply_onednn must not be called.
bool have_onednn();
void multiply_onednn(const Product<float>& product);
void multiply_onednn(const Bf16Product& product);  // on a processor with AVX512-BF16 or AMX

}  // namespace vitrail::cpu

#ifdef VITRAIL_ISA
namespace vitrail::cpu::VITRAIL_ISA {

void multiply_eigen(const Product<float>& product);
void multiply_eigen(const Product<double>& product);

inline void multiply(const Context& context, const Product<float>& product) {
  context.products().onednn ? multiply_onednn(product) : multiply_eigen(product);
}
inline void multiply(const Context&, const Product<double>& product) {
  multiply_eigen(product);
}

inline void multiply_pairs(const Context& context, const PairProduct& product) {
  context.products().dots ? context.products().dots->multiply_pairs(product) : multiply_pairs(product);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
#endif
