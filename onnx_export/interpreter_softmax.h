#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace vitrail::onnx_export::reference {

// y = exp(x − max) / Σ exp(x − max) of `count` elements that lie `step` apart; y may be x.
inline void softmax_row(const float* x, float* y, std::int64_t count, std::int64_t step) {
  float largest = x[0];
  for (std::int64_t i = 1; i < count; ++i)
    largest = std::max(largest, x[i * step]);
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    y[i * step] = std::exp(x[i * step] - largest);
    sum += static_cast<double>(y[i * step]);
  }
  for (std::int64_t i = 0; i < count; ++i)
    y[i * step] = static_cast<float>(static_cast<double>(y[i * step]) / sum);
}

}  // namespace vitrail::onnx_export::reference
