#pragma once
// Matrix products for the reference interpreter: row-major y (n, m) = a (n, k) · b (k, m).

#include <cstdint>
#include <memory>

#include "kernels/backend.h"

namespace vitrail::onnx_export::reference {

class Products {
 public:
  virtual ~Products() = default;
  virtual void multiply(const float* a, const float* b, float* y, std::int64_t n, std::int64_t k,
                        std::int64_t m) = 0;
  virtual void multiply(const double* a, const double* b, double* y, std::int64_t n, std::int64_t k,
                        std::int64_t m) = 0;
};

// By the kernels of the host's backend, which must outlive it.
std::unique_ptr<Products> backend_products(Backend& backend);
// By plain loops.
std::unique_ptr<Products> plain_products();

}  // namespace vitrail::onnx_export::reference
