#pragma once
// GELU and its derivative; the formulas are in kernels/gelu.h. In f32, from CUDA's erff and expf (2 ulp).

#include <cuda_runtime.h>

#include "kernels/gelu.h"

namespace vitrail::cuda {

__device__ __forceinline__ float logistic(float x) {
  return 1.0f / (1.0f + expf(-x));
}

// Each kind has y = gelu(x) and slope = gelu'(x).
struct GeluErf {
  // Φ(x), with erfc: the left tail keeps its digits.
  __device__ static float normal(float x) { return 0.5f * erfcf(-0.70710678f * x); }
  __device__ static float y(float x) { return x * normal(x); }
  __device__ static float slope(float x) { return normal(x) + x * 0.39894228f * expf(-0.5f * x * x); }
};

struct GeluTanh {
  static constexpr float kRoot = 0.79788456f;  // √(2/π)
  // σ(2u), u = √(2/π) · (x + 0.044715·x³)
  __device__ static float gate(float x) {
    return logistic(x * (x * x * (2 * kRoot * 0.044715f) + 2 * kRoot));
  }
  __device__ static float y(float x) { return x * gate(x); }
  __device__ static float slope(float x) {
    const float s = gate(x);
    return s + x * s * (1 - s) * (x * x * (6 * kRoot * 0.044715f) + 2 * kRoot);
  }
};

struct GeluQuick {
  __device__ static float y(float x) { return x * logistic(1.702f * x); }
  __device__ static float slope(float x) {
    const float s = logistic(1.702f * x);
    return s + 1.702f * x * s * (1 - s);
  }
};

// Calls body with the kind as a type, so that the choice is made once a launch and not once an element.
template <class Body>
void with_gelu(GeluKind kind, const Body& body) {
  switch (kind) {
    case GeluKind::erf:
      return body(GeluErf{});
    case GeluKind::tanh:
      return body(GeluTanh{});
    case GeluKind::quick:
      return body(GeluQuick{});
  }
}

}  // namespace vitrail::cuda
