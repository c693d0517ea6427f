#pragma once
// Small matrices that resize a row of samples, and their pseudo-inverses.

#include "engine/families/values.h"

namespace vitrail::families {

struct Matrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<double> values;  // row-major

  Matrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
  double& at(std::int64_t row, std::int64_t column) {
    return values[static_cast<std::size_t>(row * columns + column)];
  }
  double at(std::int64_t row, std::int64_t column) const {
    return values[static_cast<std::size_t>(row * columns + column)];
  }
};

// (target, source): row i holds the weights of sample i of the result, as torch's interpolate has them.
Matrix resizing_matrix(std::int64_t source, std::int64_t target, Resampling resampling);

// (target, source) of full rank, to the pseudo-inverse of its transpose, of the same shape. Throws
// ConfigError when the rank is not full.
Matrix inverse_of_transpose(const Matrix& matrix);

}  // namespace vitrail::families
