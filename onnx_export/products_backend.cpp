#include "onnx_export/products.h"

#include "kernels/linear.h"

#include <algorithm>
#include <vector>

namespace vitrail::onnx_export::reference {
namespace {

template <class T>
constexpr DType kDType = sizeof(T) == 4 ? DType::f32 : DType::f64;

template <class T>
std::vector<T> transposed(const T* b, std::int64_t k, std::int64_t m) {
  constexpr std::int64_t kTile = 32;
  std::vector<T> result(static_cast<std::size_t>(k * m));
  for (std::int64_t top = 0; top < k; top += kTile) {
    for (std::int64_t left = 0; left < m; left += kTile) {
      for (std::int64_t c = left; c < std::min(left + kTile, m); ++c) {
        for (std::int64_t r = top; r < std::min(top + kTile, k); ++r)
          result[static_cast<std::size_t>(c * k + r)] = b[r * m + c];
      }
    }
  }
  return result;
}

class BackendProducts : public Products {
 public:
  explicit BackendProducts(Backend& backend) : backend_(backend) {}
  void multiply(const float* a, const float* b, float* y, std::int64_t n, std::int64_t k,
                std::int64_t m) override {
    linear(a, b, y, n, k, m);
  }
  void multiply(const double* a, const double* b, double* y, std::int64_t n, std::int64_t k,
                std::int64_t m) override {
    linear(a, b, y, n, k, m);
  }

 private:
  template <class T>
  void linear(const T* a, const T* b, T* y, std::int64_t n, std::int64_t k, std::int64_t m) {
    const std::vector<T> weight = transposed(b, k, m);
    backend_.run(LinearForward{.y = {y, kDType<T>, {1, n, m}},
                               .x = {a, kDType<T>, {1, n, k}},
                               .weight = {weight.data(), kDType<T>, {m, k}},
                               .bias = {}});
  }

  Backend& backend_;
};

}  // namespace

std::unique_ptr<Products> backend_products(Backend& backend) {
  return std::make_unique<BackendProducts>(backend);
}

}  // namespace vitrail::onnx_export::reference
