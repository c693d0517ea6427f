#pragma once
// GELU and its slope for bf16, from tables that lie in registers: a parabola for each piece of |x|. Off by
// 8e-5 at most, where bf16 rounds values near 1 by up to 2e-3, in half of the formulas' operations.

#include "kernels/cpu/vec.h"
#include "kernels/gelu.h"

#ifdef __AVX512F__
namespace vitrail::cpu::VITRAIL_ISA {

class GeluTable {
 public:
  // From a kind of kernels/cpu/gelu.h, in f64.
  template <class Kind>
  explicit GeluTable(Kind) {
    fit(tail_, [](double t) { return -Kind::template y<double>(splat(-t))[0]; });
    fit(rise_, [](double t) { return Kind::template slope<double>(splat(t))[0] - 0.5; });
  }

  // gelu(x) = max(x, 0) − tail(|x|) for every kind, because its gate is point-symmetric.
  template <class T>
  Vec<T> y(const Vec<T>& x) const {
    return larger<float>(splat(0.0f), x) - at(tail_, x);  // in this order a NaN stays one
  }
  // gelu'(x) = 1/2 ± rise(|x|)
  template <class T>
  Vec<T> slope(const Vec<T>& x) const {
    const auto sign = reinterpret_cast<IntVec>(x) & reinterpret_cast<IntVec>(splat(-0.0f));
    return reinterpret_cast<Vec<T>>(reinterpret_cast<IntVec>(at(rise_, x)) | sign) + 0.5f;
  }

 private:
  // The two lowest bits of the exponent of |x| + 1/2 and the three highest of its mantissa number the piece:
  // eight between each power of two and the next, from 1/2 to 8.
  static constexpr float kShift = 0.5f, kMost = 7.4999f;
  static constexpr int kPieces = 32, kDegree = 2, kIndexBits = 20;
  struct Coefficients {
    Vec<float> low, high;  // of pieces 0 to 15, 16 to 31
  };
  using Table = Coefficients[kDegree + 1];

  static Vec<float> at(const Table& table, const Vec<float>& x) {
    const Vec<float> t = lesser<float>(splat(kMost), larger<float>(x, -x));
    const auto piece = reinterpret_cast<__m512i>(reinterpret_cast<IntVec>(t + kShift) >> kIndexBits);
    const auto coefficient = [&](int power) {
      return reinterpret_cast<Vec<float>>(
          _mm512_permutex2var_ps((__m512)table[power].low, piece, (__m512)table[power].high));
    };
    return (coefficient(2) * t + coefficient(1)) * t + coefficient(0);
  }

  // Through f at a piece's three Chebyshev nodes: the error is h³/192 · f''' for a piece of width h.
  template <class Function>
  static void fit(Table& table, const Function& f) {
    for (int octave = 0; octave < 4; ++octave) {
      const double first = 0.5 * (1 << octave), width = first / 8;
      for (int eighth = 0; eighth < 8; ++eighth) {
        const double middle = first + (eighth + 0.5) * width - kShift, step = width * 0.433012701892219323;
        const double below = f(middle - step), value = f(middle), above = f(middle + step);
        const double c = (above - 2 * value + below) / (2 * step * step), b = (above - below) / (2 * step);
        set(table, (octave + 2) % 4 * 8 + eighth,
            {value - b * middle + c * middle * middle, b - 2 * c * middle, c});
      }
    }
  }
  static void set(Table& table, int piece, const double (&coefficient)[kDegree + 1]) {
    for (int power = 0; power <= kDegree; ++power) {
      Coefficients& all = table[power];
      (piece < kPieces / 2 ? all.low : all.high)[piece % (kPieces / 2)] =
          static_cast<float>(coefficient[power]);
    }
  }

  Table tail_, rise_;
};

}  // namespace vitrail::cpu::VITRAIL_ISA
#endif
