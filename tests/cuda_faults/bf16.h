#pragma once
// Between the numbers of broken.h and arrays of bf16.

#include <cuda_bf16.h>

#include <vector>

#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {

inline float rounded(float value) {
  return __bfloat162float(__float2bfloat16(value));
}

inline Numbers rounded(Numbers values) {
  for (float& value : values)
    value = rounded(value);
  return values;
}

inline std::vector<__nv_bfloat16> bf16_of(const Numbers& values) {
  std::vector<__nv_bfloat16> result;
  for (const float value : values)
    result.push_back(__float2bfloat16(value));
  return result;
}

inline Numbers floats_of(const std::vector<__nv_bfloat16>& values) {
  Numbers result;
  for (const __nv_bfloat16 value : values)
    result.push_back(__bfloat162float(value));
  return result;
}

}  // namespace vitrail::cuda
