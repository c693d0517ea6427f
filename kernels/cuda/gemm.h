#pragma once
// Matrix products by cuBLASLt. A plan (descriptors and the algorithm that cuBLASLt's heuristic puts first) is
// made once for each shape and dtype and kept. Sums are f32; in f32 TF32's ten bits of mantissa are not used.

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "kernels/view.h"

namespace vitrail::cuda {

enum class Epilogue : std::uint8_t {
  none,
  bias,       // d = a·b + c + bias
  gelu_aux,   // aux = a·b + bias, d = gelu(aux); the tanh form
  dgelu,      // d = (a·b) ∘ gelu'(aux)
  bias_grad,  // d = a·b + c, bias = Σ over k of a's rows: bias_gradient
};

// d (m, n) = a (m, k) · b (k, n) + beta · c, all row-major; a transposed one is stored (k, m), b (n, k).
// Strides count elements from row to row.
struct Product {
  std::int64_t m = 0, n = 0, k = 0;
  DType in = DType::f32;   // of a and b: f32 or bf16
  DType out = DType::f32;  // of all else: f32, or bf16 beside a bf16 `in`
  const void* a = nullptr;
  std::int64_t a_stride = 0;
  bool a_transposed = false;
  const void* b = nullptr;
  std::int64_t b_stride = 0;
  bool b_transposed = false;
  void* d = nullptr;
  std::int64_t d_stride = 0;
  const void* c = nullptr;  // d itself when null; read when beta is not 0
  float beta = 0;
  Epilogue epilogue = Epilogue::none;
  const void* bias = nullptr;     // (n)
  void* bias_gradient = nullptr;  // (m)
  void* aux = nullptr;            // (m, n), rows of d_stride
};

class GemmPlan;

class Gemm {
 public:
  explicit Gemm(cudaStream_t stream);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // Throws Error when cuBLASLt has no algorithm.
  void multiply(const Product& product);
  // The same, but false and nothing done when cuBLASLt has none, as for epilogues that it does not have for a
  // shape: then the caller has kernels of its own.
  bool try_multiply(const Product& product);

 private:
  struct Key {
    std::int64_t m, n, k, a_stride, b_stride, d_stride;
    DType in, out;
    std::uint32_t alignment;  // of all pointers, at most 16 bytes
    bool a_transposed, b_transposed, with_c;
    Epilogue epilogue;
    auto operator<=>(const Key&) const = default;
  };
  static Key key_of(const Product& product);
  const GemmPlan& plan_of(const Product& product);

  cudaStream_t stream_;
  cublasLtHandle_t handle_ = nullptr;
  void* workspace_ = nullptr;
  std::map<Key, std::unique_ptr<GemmPlan>> plans_;
};

}  // namespace vitrail::cuda
