#include "engine/families/resizing.h"

#include <algorithm>
#include <cmath>

#include "engine/error.h"

namespace vitrail::families {
namespace {

// Keys' cubic with a = −0.5, torch's choice with antialias.
double cubic(double x) {
  x = std::abs(x);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

void antialiased_row(Matrix& matrix, std::int64_t row, double scale) {
  const double stretch = std::max(scale, 1.0), support = 2 * stretch, center = scale * (double(row) + 0.5);
  const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - support + 0.5), 0);
  const auto end = std::min<std::int64_t>(static_cast<std::int64_t>(center + support + 0.5), matrix.columns);
  double sum = 0;
  for (std::int64_t column = first; column < end; ++column) {
    matrix.at(row, column) = cubic((double(column) - center + 0.5) / stretch);
    sum += matrix.at(row, column);
  }
  for (std::int64_t column = first; column < end; ++column)
    matrix.at(row, column) /= sum;
}

void bilinear_row(Matrix& matrix, std::int64_t row, double scale) {
  const double place = std::max(scale * (double(row) + 0.5) - 0.5, 0.0);
  const auto first = std::min(static_cast<std::int64_t>(place), matrix.columns - 1);
  const double share = std::min(place - double(first), 1.0);
  matrix.at(row, first) += 1 - share;
  matrix.at(row, std::min(first + 1, matrix.columns - 1)) += share;
}

// Solves a·x = b for symmetric positive definite a, by Cholesky's factors; b becomes x.
void solve(Matrix& a, Matrix& b) {
  const std::int64_t n = a.rows;
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t i = j; i < n; ++i) {
      double sum = a.at(i, j);
      for (std::int64_t k = 0; k < j; ++k)
        sum -= a.at(i, k) * a.at(j, k);
      if (i == j && !(sum > 1e-12))
        throw ConfigError("these patch sizes cannot be converted into each other");
      a.at(i, j) = i == j ? std::sqrt(sum) : sum / a.at(j, j);
    }
  }
  for (std::int64_t column = 0; column < b.columns; ++column) {
    for (std::int64_t i = 0; i < n; ++i) {
      for (std::int64_t k = 0; k < i; ++k)
        b.at(i, column) -= a.at(i, k) * b.at(k, column);
      b.at(i, column) /= a.at(i, i);
    }
    for (std::int64_t i = n; i-- > 0;) {
      for (std::int64_t k = i + 1; k < n; ++k)
        b.at(i, column) -= a.at(k, i) * b.at(k, column);
      b.at(i, column) /= a.at(i, i);
    }
  }
}

Matrix transposed(const Matrix& matrix) {
  Matrix result(matrix.columns, matrix.rows);
  for (std::int64_t i = 0; i < matrix.rows; ++i)
    for (std::int64_t j = 0; j < matrix.columns; ++j)
      result.at(j, i) = matrix.at(i, j);
  return result;
}

// matrix · matrixᵀ
Matrix gram(const Matrix& matrix) {
  Matrix result(matrix.rows, matrix.rows);
  for (std::int64_t i = 0; i < matrix.rows; ++i)
    for (std::int64_t j = 0; j < matrix.rows; ++j)
      for (std::int64_t k = 0; k < matrix.columns; ++k)
        result.at(i, j) += matrix.at(i, k) * matrix.at(j, k);
  return result;
}

}  // namespace

Matrix resizing_matrix(std::int64_t source, std::int64_t target, Resampling resampling) {
  Matrix matrix(target, source);
  const double scale = double(source) / double(target);
  for (std::int64_t row = 0; row < target; ++row) {
    if (resampling == Resampling::bilinear) {
      bilinear_row(matrix, row, scale);
    } else {
      antialiased_row(matrix, row, scale);
    }
  }
  return matrix;
}

// R of more columns than rows: (R·Rᵀ)⁻¹·R; of more rows than columns: R·(Rᵀ·R)⁻¹.
Matrix inverse_of_transpose(const Matrix& matrix) {
  const bool wide = matrix.columns >= matrix.rows;
  Matrix right = wide ? matrix : transposed(matrix);
  Matrix left = gram(right);
  solve(left, right);
  return wide ? right : transposed(right);
}

}  // namespace vitrail::families
