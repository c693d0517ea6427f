#include "onnx_export/matrix.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "onnx_export/half.h"

namespace vitrail::onnx_export {
namespace {

constexpr std::size_t kTile = 16;                     // a cache line of f32 on either side
constexpr std::size_t kPiece = std::size_t{4} << 20;  // bytes handed over at once, about

// Rows [first, first + kTile) of W, columns [left, left + width), scaled.
class Stripe {
 public:
  Stripe(const Matrix& matrix, std::size_t width) : matrix_(matrix), rows_(kTile * width), width_(width) {}

  void read(std::size_t first, std::size_t count, std::size_t left) {
    const std::size_t ins = static_cast<std::size_t>(matrix_.ins());
    for (std::size_t r = 0; r < count; ++r) {
      const std::span<float> row(rows_.data() + r * width_, width_);
      matrix_.weight.read((first + r) * ins + left, row);
      if (matrix_.factors == nullptr) continue;
      for (float& element : row)
        element *= (*matrix_.factors)[first + r];
    }
  }
  const float* row(std::size_t r) const { return rows_.data() + r * width_; }

 private:
  const Matrix& matrix_;
  std::vector<float> rows_;
  std::size_t width_;
};

// Columns [left, left + width) of W as rows of the result. `convert` takes an element and its output.
template <class T, class Convert>
void transpose_piece(const Matrix& matrix, std::size_t left, std::size_t width, std::vector<T>& piece,
                     Convert&& convert) {
  const std::size_t outs = static_cast<std::size_t>(matrix.outs());
  Stripe stripe(matrix, width);
  for (std::size_t first = 0; first < outs; first += kTile) {
    const std::size_t count = std::min(kTile, outs - first);
    stripe.read(first, count, left);
    for (std::size_t top = 0; top < width; top += kTile) {
      T tile[kTile][kTile];
      const std::size_t height = std::min(kTile, width - top);
      for (std::size_t r = 0; r < count; ++r) {
        const float* row = stripe.row(r) + top;
        for (std::size_t c = 0; c < height; ++c)
          tile[c][r] = convert(row[c], first + r);
      }
      for (std::size_t c = 0; c < height; ++c)
        std::memcpy(piece.data() + (top + c) * outs + first, tile[c], count * sizeof(T));
    }
  }
}

template <class T, class Convert>
void transpose(const Matrix& matrix, const Sink& sink, Convert&& convert) {
  const std::size_t outs = static_cast<std::size_t>(matrix.outs());
  const std::size_t ins = static_cast<std::size_t>(matrix.ins());
  const std::size_t columns = std::max(kPiece / (outs * sizeof(T)) / kTile, std::size_t{1}) * kTile;
  std::vector<T> piece(std::min(columns, ins) * outs);
  for (std::size_t left = 0; left < ins; left += columns) {
    const std::size_t width = std::min(columns, ins - left);
    transpose_piece(matrix, left, width, piece, convert);
    sink(std::as_bytes(std::span(piece).first(width * outs)));
  }
}

template <class Visit>
void visit_rows(const Matrix& matrix, Visit&& visit) {
  std::vector<float> row(static_cast<std::size_t>(matrix.ins()));
  for (std::size_t o = 0; o < static_cast<std::size_t>(matrix.outs()); ++o) {
    matrix.weight.read(o * row.size(), row);
    float largest = 0;
    for (const float element : row)
      largest = std::max(largest, std::abs(element));
    visit(o, matrix.factors == nullptr ? largest : largest * std::abs((*matrix.factors)[o]));
  }
}

}  // namespace

Producer transposed_f32(const Matrix& matrix) {
  return [matrix](const Sink& sink) {
    transpose<float>(matrix, sink, [](float element, std::size_t) { return element; });
  };
}

Producer transposed_f16(const Matrix& matrix) {
  return [matrix](const Sink& sink) {
    transpose<std::uint16_t>(matrix, sink, [](float element, std::size_t) { return to_half(element); });
  };
}

Producer transposed_i8(const Matrix& matrix, std::vector<float> scales) {
  return [matrix, scales = std::move(scales)](const Sink& sink) {
    transpose<std::int8_t>(matrix, sink, [&](float element, std::size_t out) {
      return static_cast<std::int8_t>(std::clamp(std::nearbyint(element / scales[out]), -127.0f, 127.0f));
    });
  };
}

std::vector<float> int8_scales(const Matrix& matrix, float limit) {
  std::vector<float> scales(static_cast<std::size_t>(matrix.outs()));
  visit_rows(matrix,
             [&](std::size_t out, float largest) { scales[out] = largest > 0 ? largest / limit : 1; });
  return scales;
}

float largest_magnitude(const Matrix& matrix) {
  float largest = 0;
  visit_rows(matrix, [&](std::size_t, float row) { largest = std::max(largest, row); });
  return largest;
}

}  // namespace vitrail::onnx_export
