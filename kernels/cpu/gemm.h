#pragma once
// One matrix product on one thread, called from inside a worker's task: who multiplies is chosen at run time.

#include <cstdint>

#include "kernels/cpu/context.h"
#include "kernels/cpu/pair_product.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/tiles.h"

namespace vitrail::cpu {

// c = op(a) · op(b), or c += with accumulate, row-major; strides are in elements, from row to row as stored.
template <class T, class Sum = T>
struct Product {
  std::int64_t m, n, k;
  const T* a;  // (m, k), or (k, m) when a_transposed
  std::int64_t a_stride;
  bool a_transposed;
  const T* b;  // (k, n), or (n, k) when b_transposed
  std::int64_t b_stride;
  bool b_transposed;
  Sum* c;  // (m, n)
  std::int64_t c_stride;
  bool accumulate = false;
};
using Bf16Product = Product<Bf16, float>;

// c = a · bᵀ, exact as long as k is at most kMostQuantized and b within the limit of Products. Otherwise as
// Product.
struct Int8Product {
  std::int64_t m, n, k;
  const std::uint8_t* a;  // (m, k)
  std::int64_t a_stride;
  const std::int8_t* b;  // (n, k)
  std::int64_t b_stride;
  std::int32_t* c;  // (m, n)
  std::int64_t c_stride;
};

// Whether this build has oneDNN; without it multiply_onednn must not be called.
bool have_onednn();
void multiply_onednn(const Product<float>& product);
void multiply_onednn(const Bf16Product& product);  // on a processor with AVX512-BF16 or AMX
void multiply_onednn(const Int8Product& product);
// The largest weight of an Int8Product whose pairs do not overflow on the way: by products that add them in
// 16 bits, signed and saturated, and by oneDNN's.
inline constexpr int kPairsLimit = 64;
int onednn_int8_limit();

}  // namespace vitrail::cpu

#ifdef VITRAIL_ISA
namespace vitrail::cpu::VITRAIL_ISA {

// What is to be done to each part of a product's c, given its sums, while these lie in the caches.
class Finish {
 public:
  template <class Body>
  explicit Finish(const Body& body)
      : call_([](const void* of, const Tile& part, const Rows<float>& sums) {
          (*static_cast<const Body*>(of))(part, sums);
        }),
        body_(&body) {}
  void operator()(const Tile& part, const Rows<float>& sums) const { call_(body_, part, sums); }

 private:
  void (*call_)(const void*, const Tile&, const Rows<float>&);
  const void* body_;
};

// Packs its factors in memory of panels_bytes(). c may be null where keeps_sums(k): then a part's sums are
// only there until they are finished.
void multiply_panels(const Product<float>& product, float* memory, const Finish& finish);
std::size_t panels_bytes();
bool keeps_sums(std::int64_t k);
// The same in 8 bits, where multiplies_bytes(k); the sums are whole numbers, and kept where keeps_sums(k /
// 4).
void multiply_panels(const Int8Product& product, float* memory, const Finish& finish);
bool multiplies_bytes(std::int64_t k);
void multiply_eigen(const Product<float>& product);
void multiply_eigen(const Product<double>& product);
void multiply_plainly(const Int8Product& product);

// Calls finish(part, sums), for all c or for smaller parts.
template <class Body>
inline void multiply(Context& context, int worker, const Product<float>& product, const Body& finish) {
  if (context.products().f32 == Gemm::vitrail) {
    auto* memory = reinterpret_cast<float*>(context.packing_scratch(worker, panels_bytes()));
    return multiply_panels(product, memory, Finish(finish));
  }
  context.products().f32 == Gemm::onednn ? multiply_onednn(product) : multiply_eigen(product);
  finish({0, 0, product.m, product.n}, Rows<float>{product.c, product.c_stride});
}
template <class Body>
inline void multiply(Context&, int, const Product<double>& product, const Body& finish) {
  multiply_eigen(product);
  finish({0, 0, product.m, product.n}, Rows<double>{product.c, product.c_stride});
}

// Whether an Int8Product is multiply_panels()'s.
inline bool bytes_by_panels(const Context& context, std::int64_t k) {
  return context.products().int8 == Gemm::vitrail && multiplies_bytes(k);
}

template <class Body>
inline void multiply(Context& context, int worker, const Int8Product& product, const Body& finish) {
  if (bytes_by_panels(context, product.k)) {
    auto* memory = reinterpret_cast<float*>(context.packing_scratch(worker, panels_bytes()));
    return multiply_panels(product, memory, Finish(finish));
  }
  const bool plainly = context.products().int8 == Gemm::eigen || !have_onednn();
  plainly ? multiply_plainly(product) : multiply_onednn(product);
  finish({0, 0, product.m, product.n}, Rows<float>{reinterpret_cast<float*>(product.c), product.c_stride});
}

}  // namespace vitrail::cpu::VITRAIL_ISA
#endif
