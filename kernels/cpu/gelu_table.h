#pragma once
// GELU and its slope for bf16, from tables that lie in registers: a cubic polynomial for each piece of |x|.
// Off by 1e-5 at most (quick beyond ±7.5: by the 4e-5 that it lacks to 0 or x there), where bf16 rounds
// values near 1 by up to 2e-3, in half of the formulas' operations.

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
  static constexpr int kPieces = 32, kDegree = 3, kIndexBits = 20;
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
    return ((coefficient(3) * t + coefficient(2)) * t + coefficient(1)) * t + coefficient(0);
  }

  // Through f at a piece's four Chebyshev nodes, by Newton's divided differences: for a piece of width h the
  // error is h⁴ / 3072 times the fourth derivative.
  template <class Function>
  static void fit(Table& table, const Function& f) {
    for (int octave = 0; octave < 4; ++octave) {
      const double first = 0.5 * (1 << octave), width = first / 8;
      for (int eighth = 0; eighth < 8; ++eighth) {
        const double middle = first + (eighth + 0.5) * width - kShift;
        double at[kDegree + 1], difference[kDegree + 1], coefficient[kDegree + 1] = {};
        for (int i = 0; i <= kDegree; ++i) {
          at[i] = middle + 0.5 * width * ::cos((2 * i + 1) * 0.392699081698724155);
          difference[i] = f(at[i]);
        }
        for (int order = 1; order <= kDegree; ++order) {
          for (int i = kDegree; i >= order; --i)
            difference[i] = (difference[i] - difference[i - 1]) / (at[i] - at[i - order]);
        }
        for (int i = kDegree; i >= 0; --i) {
          for (int power = kDegree; power > 0; --power)
            coefficient[power] = coefficient[power - 1] - at[i] * coefficient[power];
          coefficient[0] = difference[i] - at[i] * coefficient[0];
        }
        set(table, (octave + 2) % 4 * 8 + eighth, coefficient);
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
