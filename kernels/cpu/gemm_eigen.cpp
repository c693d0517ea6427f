#include <Eigen/Core>

#include "kernels/cpu/gemm.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

template <class T>
using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
template <class T>
using Stored = Eigen::Map<const Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;
template <class T>
using Result = Eigen::Map<Matrix<T>, Eigen::Unaligned, Eigen::OuterStride<>>;

template <class T, class A, class B>
void multiply_into(const Product<T>& product, const A& a, const B& b) {
  Result<T> c(product.c, product.m, product.n, Eigen::OuterStride<>(product.c_stride));
  if (product.accumulate) {
    c.noalias() += a * b;
  } else {
    c.noalias() = a * b;
  }
}

template <class T>
Stored<T> stored(const T* data, std::int64_t rows, std::int64_t cols, bool transposed, std::int64_t stride) {
  return {data, transposed ? cols : rows, transposed ? rows : cols, Eigen::OuterStride<>(stride)};
}

template <class T>
void multiply_any(const Product<T>& product) {
  const auto a = stored(product.a, product.m, product.k, product.a_transposed, product.a_stride);
  const auto b = stored(product.b, product.k, product.n, product.b_transposed, product.b_stride);
  if (product.a_transposed) {
    product.b_transposed ? multiply_into(product, a.transpose(), b.transpose())
                         : multiply_into(product, a.transpose(), b);
  } else {
    product.b_transposed ? multiply_into(product, a, b.transpose()) : multiply_into(product, a, b);
  }
}

}  // namespace

void multiply_eigen(const Product<float>& product) {
  multiply_any(product);
}
void multiply_eigen(const Product<double>& product) {
  multiply_any(product);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
