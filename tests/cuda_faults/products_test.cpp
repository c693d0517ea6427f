// Broken calls of the matrix products: the program's own Gemm, asked for the wrong thing.

#include "kernels/cuda/gemm.h"

#include <doctest/doctest.h>

#include <cmath>

#include "kernels/cuda/context.h"
#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;

constexpr std::int64_t kM = 12, kN = 16, kK = 20;

struct Operands {
  DeviceArray<float> a{kM * kK}, b{kN * kK}, bias{kN}, d{kM * kN}, aux{kM * kN}, short_aux{kM * kN - 1};
  Operands() {
    int salt = 6;
    for (DeviceArray<float>* array : {&a, &b, &bias}) {
      array->host = some_numbers(array->host.size(), salt++);
      array->upload();
    }
  }
  // d = gelu(a · bᵀ + bias)
  Product product() const {
    return {.m = kM,
            .n = kN,
            .k = kK,
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

// d and the auxiliary matrix, after `spoil` has had the product.
template <void (*Spoil)(Product&, const Operands&)>
Numbers multiplied() {
  Operands operands;
  Product product = operands.product();
  Spoil(product, operands);
  context().gemm().multiply(product);
  cudaStreamSynchronize(context().stream());
  operands.d.download();
  operands.aux.download();
  Numbers all = operands.d.host;
  all.insert(all.end(), operands.aux.host.begin(), operands.aux.host.end());
  return all;
}

Numbers expected_product() {
  const Numbers a = some_numbers(kM * kK, 6), b = some_numbers(kN * kK, 7), bias = some_numbers(kN, 8);
  Numbers y, aux;
  for (std::size_t i = 0; i < kM; ++i) {
    for (std::size_t j = 0; j < kN; ++j) {
      auto sum = static_cast<double>(bias[j]);
      for (std::size_t k = 0; k < kK; ++k)
        sum += static_cast<double>(a[i * kK + k]) * static_cast<double>(b[j * kK + k]);
      aux.push_back(static_cast<float>(sum));
      const double inner = std::sqrt(2 / 3.14159265358979) * (sum + 0.044715 * sum * sum * sum);
      y.push_back(static_cast<float>(0.5 * sum * (1 + std::tanh(inner))));
    }
  }
  y.insert(y.end(), aux.begin(), aux.end());
  return y;
}

const float on_host[kN] = {};

void narrow_rows(Product& p, const Operands&) {
  p.a_stride = kK - 1;
}
void wide_rows(Product& p, const Operands&) {
  p.a_stride = kK + 1;
}
void rows_of_the_other(Product& p, const Operands&) {
  p.b_transposed = false, p.b_stride = kN;
}
void short_rows_of_d(Product& p, const Operands&) {
  p.d_stride = kN + 8;
}
void host_bias(Product& p, const Operands&) {
  p.bias = on_host;
}
void late_bias(Product& p, const Operands& o) {
  p.bias = o.bias.device() + 4;
}
void no_bias(Product& p, const Operands&) {
  p.bias = nullptr;
}
void other_bias(Product& p, const Operands& o) {
  p.bias = o.a.device();
}
void short_aux(Product& p, const Operands& o) {
  p.aux = o.short_aux.device();
}
void aux_is_d(Product& p, const Operands& o) {
  p.aux = o.d.device();
}
void no_gelu(Product& p, const Operands&) {
  p.epilogue = Epilogue::bias;
}
void adds_to_nothing(Product& p, const Operands&) {
  p.beta = 1;
}

template <void (*Spoil)(Product&, const Operands&)>
Broken broken(const char* fault, const std::vector<std::string>& report) {
  return {fault, report, multiplied<Spoil>, multiplied<leave>, expected_product()};
}

TEST_CASE("cuda faults: products") {
  check_all({
      broken<narrow_rows>("a leading dimension below the rows", {"the leading dimension of B is 19"}),
      broken<wide_rows>("a leading dimension that leads out of the matrix",
                        {"cublasLtMatmul: B", "lie behind"}),
      broken<rows_of_the_other>("a transposed matrix read as if it were none", {kWrongNumbers}),
      broken<short_rows_of_d>("rows of the result too far apart", {"cublasLtMatmul: D", "lie behind"}),
      broken<host_bias>("a bias on the host", {"the bias", "not one to device memory"}),
      broken<late_bias>("a bias that begins too late", {"the bias", "the last 16 lie behind"}),
      broken<no_bias>("a bias that was never given", {"the bias", "not one to device memory"}),
      broken<other_bias>("another tensor as the bias", {kWrongNumbers}),
      broken<short_aux>("an auxiliary matrix that is too small",
                        {"the auxiliary matrix", "the last 4 lie behind"}),
      broken<aux_is_d>("the result as its own auxiliary matrix", {kWrongNumbers}),
      broken<no_gelu>("the wrong epilogue", {kWrongNumbers}),
      broken<adds_to_nothing>("added to a result that was never written", {kWrongNumbers}),
  });
}

// cuBLASLt's bias gradient replaces what stands there: a caller that accumulates has to add it.
template <bool Adds>
Numbers bias_gradient() {
  DeviceArray<float> dy(kM * kN, 1), x(kM * kK, 1), dweight(kN * kK, 0), dbias(kN, 5), sum(kN);
  context().gemm().multiply({.m = kN,
                             .n = kK,
                             .k = kM,
                             .a = dy.device(),
                             .a_stride = kN,
                             .a_transposed = true,
                             .b = x.device(),
                             .b_stride = kK,
                             .d = dweight.device(),
                             .d_stride = kK,
                             .beta = 1,
                             .epilogue = Epilogue::bias_grad,
                             .bias_gradient = Adds ? sum.device() : dbias.device()});
  cudaStreamSynchronize(context().stream());
  dbias.download();
  sum.download();
  for (std::size_t i = 0; Adds && i < kN; ++i)
    dbias.host[i] += sum.host[i];
  return dbias.host;
}

TEST_CASE("cuda faults: a bias gradient that should be added") {
  check_all({{"it replaces what stood there",
              {kWrongNumbers},
              bias_gradient<false>,
              bias_gradient<true>,
              Numbers(kN, 5.0f + kM)}});
}

}  // namespace
}  // namespace vitrail::cuda
