// Broken calls of the matrix products in bf16, and what cuBLASLt must refuse.

#include <doctest/doctest.h>

#include "kernels/cuda/context.h"
#include "kernels/cuda/gemm.h"
#include "kernels/error.h"
#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/bf16.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using Bf16 = __nv_bfloat16;

constexpr std::int64_t kM = 12, kN = 16, kK = 24;
constexpr std::int64_t kRoom = kM * (kN + 8);  // for rows of d further apart

struct Operands {
  DeviceArray<Bf16> a{kM * kK + 1}, b{kN * kK}, bias{2 * kN}, d{kRoom}, aux{kM * kN};
  DeviceArray<float> bias_f32{kN};
  Operands() {
    a.host = bf16_of(some_numbers(kM * kK + 1, 6));
    b.host = bf16_of(some_numbers(kN * kK, 7));
    bias.host = bf16_of(some_numbers(2 * kN, 8));
    bias_f32.host = some_numbers(kN, 8);
    for (DeviceArray<Bf16>* array : {&a, &b, &bias})
      array->upload();
    bias_f32.upload();
  }
  // d = gelu(a · bᵀ + bias), with what comes before the GELU kept
  Product product() const {
    return {.m = kM,
            .n = kN,
            .k = kK,
            .in = DType::bf16,
            .out = DType::bf16,
            .a = a.device(),
            .a_stride = kK,
            .b = b.device(),
            .b_stride = kK,
            .b_transposed = true,
            .d = d.device(),
            .d_stride = kN,
            .epilogue = Epilogue::gelu_aux,
            .bias = bias.device(),
            .aux = aux.device()};
  }
};

Context& context() {
  static Context context(0);
  return context;
}

void leave(Product&, const Operands&) {}

// The auxiliary matrix: what comes before the GELU, rounded.
template <void (*Spoil)(Product&, const Operands&)>
Numbers multiplied() {
  Operands operands;
  Product product = operands.product();
  Spoil(product, operands);
  context().gemm().multiply(product);
  cudaStreamSynchronize(context().stream());
  operands.aux.download();
  return floats_of(operands.aux.host);
}

Numbers expected_product() {
  const Numbers a = rounded(some_numbers(kM * kK, 6)), b = rounded(some_numbers(kN * kK, 7)),
                bias = rounded(some_numbers(kN, 8));
  Numbers pre;
  for (std::size_t i = 0; i < kM; ++i) {
    for (std::size_t j = 0; j < kN; ++j) {
      auto sum = static_cast<double>(bias[j]);
      for (std::size_t k = 0; k < kK; ++k)
        sum += static_cast<double>(a[i * kK + k]) * static_cast<double>(b[j * kK + k]);
      pre.push_back(rounded(static_cast<float>(sum)));
    }
  }
  return pre;
}

void bias_of_f32(Product& p, const Operands& o) {
  p.bias = o.bias_f32.device();
}
void all_in_f32(Product& p, const Operands&) {
  p.in = p.out = DType::f32;
}
void result_in_f32(Product& p, const Operands&) {
  p.out = DType::f32;
}
void rows_in_bytes(Product& p, const Operands&) {
  p.a_stride = kK * 2;
}
void aux_like_wide_d(Product& p, const Operands&) {
  p.d_stride = kN + 8;
}

template <void (*Spoil)(Product&, const Operands&)>
Broken broken(const char* fault, const std::vector<std::string>& report) {
  return {fault, report, multiplied<Spoil>, multiplied<leave>, expected_product()};
}

TEST_CASE("cuda faults: products in bf16") {
  check_all({
      broken<bias_of_f32>("the bias left in f32", {kWrongNumbers}),
      broken<all_in_f32>("the operands taken for f32", {"cublasLtMatmul: A", "lie behind"}),
      broken<result_in_f32>("the result taken for f32", {"cublasLtMatmul", "lie behind"}),
      broken<rows_in_bytes>("a leading dimension in bytes", {"cublasLtMatmul: B", "lie behind"}),
      broken<aux_like_wide_d>("rows of the auxiliary matrix too far apart",
                              {"the auxiliary matrix", "lie behind"}),
  });
}

TEST_CASE("cuda faults: a plan is not used for operands that are aligned less than its own") {
  const Operands operands;
  Product product = operands.product();
  context().gemm().multiply(product);
  product.a = operands.a.device() + 1;  // has a plan of its own
  CHECK_NOTHROW(context().gemm().multiply(product));
  cudaStreamSynchronize(context().stream());
}

TEST_CASE("cuda faults: an f32 product is not stored in bf16") {
  const Operands operands;
  Product product = operands.product();
  product.in = DType::f32;
  CHECK_FALSE(context().gemm().try_multiply(product));
  CHECK_THROWS_AS(context().gemm().multiply(product), Error);
}

// cuBLASLt itself: d = a · b of 8 × 8 matrices, with a bias.
struct Call {
  cudaDataType a = CUDA_R_16BF, b = CUDA_R_16BF, c = CUDA_R_16BF, d = CUDA_R_16BF, bias = CUDA_R_16BF;
};

// Whether the heuristic has an algorithm, and what the product says when it is given that of `chosen`.
class RawProduct {
 public:
  explicit RawProduct(const Call& call) {
    cublasLtCreate(&handle_);
    cublasLtMatmulDescCreate(&how_, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, memory_.device());
    set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, static_cast<std::int32_t>(call.bias));
    const cudaDataType types[] = {call.a, call.b, call.c, call.d};
    for (int i = 0; i < 4; ++i)
      cublasLtMatrixLayoutCreate(&layouts_[i], types[i], 8, 8, 8);
  }
  ~RawProduct() {
    for (const cublasLtMatrixLayout_t layout : layouts_)
      cublasLtMatrixLayoutDestroy(layout);
    cublasLtMatmulDescDestroy(how_);
    cublasLtDestroy(handle_);
  }
  RawProduct(const RawProduct&) = delete;
  RawProduct& operator=(const RawProduct&) = delete;

  bool choose(cublasLtMatmulAlgo_t& algorithm, std::uint32_t alignment = 256) const {
    cublasLtMatmulPreference_t preference = nullptr;
    cublasLtMatmulPreferenceCreate(&preference);
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &alignment,
                                         sizeof(alignment));
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    cublasLtMatmulAlgoGetHeuristic(handle_, how_, layouts_[0], layouts_[1], layouts_[2], layouts_[3],
                                   preference, 1, &result, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    algorithm = result.algo;
    return found == 1;
  }

  void run(const cublasLtMatmulAlgo_t& algorithm, std::size_t a_offset = 0) const {
    const float alpha = 1, beta = 0;
    const float* memory = memory_.device();
    cublasLtMatmul(handle_, how_, &alpha, reinterpret_cast<const std::byte*>(memory) + a_offset, layouts_[0],
                   memory, layouts_[1], &beta, memory, layouts_[2], memory_.device() + 128, layouts_[3],
                   &algorithm, memory_.device(), 0, nullptr);
    cudaStreamSynchronize(nullptr);
  }

 private:
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) {
    cublasLtMatmulDescSetAttribute(how_, attribute, &value, sizeof(value));
  }

  DeviceArray<float> memory_{256, 0};
  cublasLtHandle_t handle_ = nullptr;
  cublasLtMatmulDesc_t how_ = nullptr;
  cublasLtMatrixLayout_t layouts_[4] = {};
};

TEST_CASE("cuda faults: cuBLASLt refuses types that do not go together") {
  cublasLtMatmulAlgo_t algorithm{}, refused{};
  const RawProduct whole({});
  REQUIRE(whole.choose(algorithm));
  CHECK_NOTHROW(whole.run(algorithm));
  const std::pair<Call, std::string> calls[] = {
      {{.bias = CUDA_R_32F}, "a bias of another type than D"},
      {{.c = CUDA_R_32F, .d = CUDA_R_32F}, "a bias of another type than D"},
      {{.b = CUDA_R_32F}, "A and B are of different types"},
      {{.d = CUDA_R_32F, .bias = CUDA_R_32F}, "C and D are of different types"},
      {{.a = CUDA_R_32F, .b = CUDA_R_32F}, "a product of f32 matrices that is not f32"},
  };
  for (const auto& [call, report] : calls) {
    CAPTURE(report);
    const RawProduct product(call);
    CHECK_FALSE(product.choose(refused));
    cuda_emulation::expect_fault([&] { product.run(algorithm); }, {"cublasLtMatmul", report});
  }
  CHECK(RawProduct({.c = CUDA_R_32F, .d = CUDA_R_32F, .bias = CUDA_R_32F}).choose(refused));
}

TEST_CASE("cuda faults: cuBLASLt's algorithm wants the alignment that it was chosen for") {
  cublasLtMatmulAlgo_t any{}, aligned{};
  const RawProduct product({});
  REQUIRE(product.choose(any, 2));
  REQUIRE(product.choose(aligned, 16));
  CHECK_NOTHROW(product.run(any, 2));
  CHECK_NOTHROW(product.run(aligned, 16));
  cuda_emulation::expect_fault([&] { product.run(aligned, 2); }, {"A is not aligned to the 16 bytes"});
}

}  // namespace
}  // namespace vitrail::cuda
