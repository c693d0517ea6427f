#include "engine/families/values.h"

#include <fmt/format.h>

#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "engine/error.h"
#include "engine/families/resizing.h"
#include "engine/tensor_text.h"

namespace vitrail::families {
namespace {

using format::ElementType;

// IEEE half precision: 1 sign, 5 exponent, 10 fraction bits.
float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = std::uint32_t{bits} >> 15 << 31, exponent = bits >> 10 & 31U,
                      fraction = bits & 1023U;
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -value : value;
  }
  const std::uint32_t wide = exponent == 31 ? 255 : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

template <class T, class Convert>
void convert(std::span<const std::byte> bytes, std::vector<float>& values, Convert&& to_float) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    T element;
    std::memcpy(&element, bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = to_float(element);
  }
}

std::size_t element_bytes(const Piece& piece) {
  switch (piece.record->type) {
    case ElementType::f16:
    case ElementType::bf16:
      return 2;
    case ElementType::f32:
      return 4;
    case ElementType::f64:
      return 8;
    default:
      throw ConfigError(fmt::format("{}: expected f32, f16, bf16 or f64, found {}", piece.record->name,
                                    dtype_text(piece.record->type)));
  }
}

// (rows, columns) to (columns, rows)
std::vector<float> transposed(const std::vector<float>& values, std::size_t rows, std::size_t columns) {
  std::vector<float> result(values.size());
  for (std::size_t row = 0; row < rows; ++row)
    for (std::size_t column = 0; column < columns; ++column)
      result[column * rows + row] = values[row * columns + column];
  return result;
}

// (P, P, channels, dim) to (dim, channels, P, P)
std::vector<float> from_patches(const std::vector<float>& values, const Extents& shape) {
  const auto dim = static_cast<std::size_t>(shape[0]), channels = static_cast<std::size_t>(shape[1]);
  const std::size_t area = values.size() / (dim * channels);
  std::vector<float> result(values.size());
  for (std::size_t d = 0; d < dim; ++d)
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t p = 0; p < area; ++p)
        result[(d * channels + c) * area + p] = values[(p * channels + c) * dim + d];
  return result;
}

// left · values · rightᵀ of one square of samples, both the same matrix.
void apply_both_ways(const Matrix& matrix, const float* from, std::int64_t stride, float* to) {
  const std::int64_t size = matrix.columns, wanted = matrix.rows;
  std::vector<double> half(static_cast<std::size_t>(size * wanted));
  for (std::int64_t y = 0; y < size; ++y)
    for (std::int64_t x = 0; x < wanted; ++x)
      for (std::int64_t k = 0; k < size; ++k)
        half[static_cast<std::size_t>(y * wanted + x)] += matrix.at(x, k) * from[(y * size + k) * stride];
  for (std::int64_t y = 0; y < wanted; ++y) {
    for (std::int64_t x = 0; x < wanted; ++x) {
      double sum = 0;
      for (std::int64_t k = 0; k < size; ++k)
        sum += matrix.at(y, k) * half[static_cast<std::size_t>(k * wanted + x)];
      to[(y * wanted + x) * stride] = static_cast<float>(sum);
    }
  }
}

}  // namespace

bool ready(const Piece& piece) {
  return piece.record->type == ElementType::f32 && (piece.order == Order::same || piece.order == Order::flat);
}

std::vector<float> to_f32(const Piece& piece) {
  const std::size_t size = element_bytes(piece);
  std::vector<float> values(piece.bytes.size() / size);
  switch (piece.record->type) {
    case ElementType::f16:
      convert<std::uint16_t>(piece.bytes, values, from_f16);
      break;
    case ElementType::bf16:
      convert<std::uint16_t>(piece.bytes, values, from_bf16);
      break;
    case ElementType::f64:
      convert<double>(piece.bytes, values, [](double value) { return static_cast<float>(value); });
      break;
    default:
      std::memcpy(values.data(), piece.bytes.data(), values.size() * sizeof(float));
  }
  const Extents shape = piece.shape();
  if (piece.order == Order::patches) return from_patches(values, shape);
  if (piece.order != Order::transposed) return values;
  return transposed(values, static_cast<std::size_t>(shape[1]), static_cast<std::size_t>(shape[0]));
}

std::vector<float> fit_positions(const std::vector<float>& rows, std::int64_t prefix, std::int64_t grid,
                                 std::int64_t new_grid, std::int64_t dim, Resampling resampling) {
  assert(static_cast<std::int64_t>(rows.size()) == (prefix + grid * grid) * dim);
  const Matrix matrix = resizing_matrix(grid, new_grid, resampling);
  std::vector<float> result(static_cast<std::size_t>((prefix + new_grid * new_grid) * dim));
  std::copy_n(rows.begin(), prefix * dim, result.begin());
  for (std::int64_t d = 0; d < dim; ++d)
    apply_both_ways(matrix, rows.data() + prefix * dim + d, dim, result.data() + prefix * dim + d);
  return result;
}

std::vector<float> fit_patches(const std::vector<float>& kernels, std::int64_t size, std::int64_t new_size,
                               Resampling resampling) {
  const Matrix matrix = inverse_of_transpose(resizing_matrix(size, new_size, resampling));
  const std::int64_t count = static_cast<std::int64_t>(kernels.size()) / (size * size);
  std::vector<float> result(static_cast<std::size_t>(count * new_size * new_size));
  for (std::int64_t i = 0; i < count; ++i)
    apply_both_ways(matrix, kernels.data() + i * size * size, 1, result.data() + i * new_size * new_size);
  return result;
}

std::vector<float> fit_channels(const std::vector<float>& kernels, std::int64_t channels,
                                std::int64_t new_channels, std::int64_t area) {
  if (new_channels != 1 && channels != 1 && channels != 3) {
    throw ConfigError(fmt::format("model.in_chans: a network of {} channels can be made one of 1, found {}",
                                  channels, new_channels));
  }
  const std::int64_t dim = static_cast<std::int64_t>(kernels.size()) / (channels * area);
  std::vector<float> result(static_cast<std::size_t>(dim * new_channels * area));
  const float scale = static_cast<float>(channels) / static_cast<float>(new_channels);
  for (std::int64_t d = 0; d < dim; ++d) {
    const float* from = kernels.data() + d * channels * area;
    float* to = result.data() + d * new_channels * area;
    for (std::int64_t p = 0; p < area; ++p) {
      float sum = 0;
      for (std::int64_t c = 0; c < channels; ++c)
        sum += from[c * area + p];
      for (std::int64_t c = 0; c < new_channels; ++c)
        to[c * area + p] = new_channels == 1 ? sum : from[c % channels * area + p] * scale;
    }
  }
  return result;
}

}  // namespace vitrail::families
