#pragma once
// A linear layer's weight as MatMul wants it: W (out, in) becomes Wᵀ (in, out), each output scaled by its
// factor, in f32, f16 or int8. Made piece by piece: no whole copy is ever held.

#include <memory>

#include "onnx_export/parameters.h"

namespace vitrail::onnx_export {

struct Matrix {
  Parameters::Tensor weight;                          // (out, in); its bytes outlive the producers
  std::shared_ptr<const std::vector<float>> factors;  // (out), or null for ones

  std::int64_t outs() const { return weight.dims[0]; }
  std::int64_t ins() const { return weight.dims[1]; }
};

Producer transposed_f32(const Matrix& matrix);
Producer transposed_f16(const Matrix& matrix);
// round(w / scale[out]), ties to even, in [-127, 127]
Producer transposed_i8(const Matrix& matrix, std::vector<float> scales);

// By output: the largest magnitude over `limit`, so that [-limit, limit] covers the row; 1 for a row of
// zeros.
std::vector<float> int8_scales(const Matrix& matrix, float limit);
float largest_magnitude(const Matrix& matrix);

}  // namespace vitrail::onnx_export
