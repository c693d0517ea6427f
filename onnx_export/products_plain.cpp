#include <algorithm>

#include "onnx_export/products.h"

namespace vitrail::onnx_export::reference {
namespace {

template <class T>
void multiply_plainly(const T* a, const T* b, T* y, std::int64_t n, std::int64_t k, std::int64_t m) {
  std::fill_n(y, n * m, T{0});
  for (std::int64_t row = 0; row < n; ++row) {
    for (std::int64_t i = 0; i < k; ++i) {
      for (std::int64_t column = 0; column < m; ++column)
        y[row * m + column] += a[row * k + i] * b[i * m + column];
    }
  }
}

class PlainProducts : public Products {
 public:
  void multiply(const float* a, const float* b, float* y, std::int64_t n, std::int64_t k,
                std::int64_t m) override {
    multiply_plainly(a, b, y, n, k, m);
  }
  void multiply(const double* a, const double* b, double* y, std::int64_t n, std::int64_t k,
                std::int64_t m) override {
    multiply_plainly(a, b, y, n, k, m);
  }
};

}  // namespace

std::unique_ptr<Products> plain_products() {
  return std::make_unique<PlainProducts>();
}

}  // namespace vitrail::onnx_export::reference
