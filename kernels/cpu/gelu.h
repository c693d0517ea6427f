#pragma once
// GELU and its derivative on vectors; the formulas are in kernels/gelu.h. f64 is exact, for the gradient
// checks.

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/gelu_table.h"
#include "kernels/cpu/vec.h"
#include "kernels/gelu.h"

namespace vitrail::cpu::VITRAIL_ISA {

// coefficient[0] + coefficient[1]·t + …
template <int kCount>
inline Vec<float> polynomial(const float (&coefficient)[kCount], const Vec<float>& t) {
  Vec<float> sum = splat(coefficient[kCount - 1]);
#pragma GCC unroll 16
  for (int power = kCount - 2; power >= 0; --power)
    sum = sum * t + coefficient[power];
  return sum;
}

// x · Φ(x) = max(x, 0) − t·Φ(−t), t = |x|, and Φ(−t) = q(t)^−8: the form of Abramowitz and Stegun 7.1.28,
// with q fitted to the value as a whole: off by 2e-7 and a unit in the last place at most.
inline Vec<float> gelu_erf(const Vec<float>& x) {
  constexpr float kRoot[] = {1.09050763f,      0.108765475f,    0.0487927087f,    0.00952681713f,
                             0.000813132501f,  0.000357630226f, -2.12928862e-05f, 2.16873304e-05f,
                             -3.46839738e-06f, 4.57422232e-07f};
  const Vec<float> t = lesser<float>(larger<float>(x, -x), splat(14.0f));
  Vec<float> q = polynomial(kRoot, t);
  q *= q;
  q *= q;
  return larger<float>(splat(0.0f), x) - t * inverse_of(q * q);  // in this order a NaN stays one
}
inline Vec<double> gelu_erf(Vec<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane)
    x[lane] *= 0.5 * ::erfc(x[lane] * -0.707106781186547524);
  return x;
}

// Φ(x) + x · φ(x) = 1/2 + x · p(x²) / q(x²), fitted on [−6, 6], off by 2.2e-7 at most; it changes by less
// beyond.
inline Vec<float> gelu_erf_slope(const Vec<float>& x) {
  constexpr float kOver[] = {0.797884524f,    -0.0180378295f, 0.013569003f,    0.000285227463f,
                             3.20271574e-05f, 1.1219438e-06f, 1.30031257e-08f, -2.88803512e-11f};
  constexpr float kUnder[] = {
      1.0f, 0.310725778f, 0.0455828868f, 0.00415022904f, 0.000258607004f, 1.08122795e-05f, 3.6363906e-07f};
  const Vec<float> near = lesser<float>(splat(6.0f), larger<float>(splat(-6.0f), x));
  const Vec<float> t = near * near;
  return near * polynomial(kOver, t) * inverse_of(polynomial(kUnder, t)) + 0.5f;
}
inline Vec<double> gelu_erf_slope(Vec<double> x) {
  for (int lane = 0; lane < kLanes<double>; ++lane) {
    const double density = ::exp(-0.5 * x[lane] * x[lane]) * 0.398942280401432678;
    x[lane] = 0.5 * ::erfc(x[lane] * -0.707106781186547524) + x[lane] * density;
  }
  return x;
}

template <class T>
inline Vec<T> logistic(const Vec<T>& x) {
  return inverse_of(exp_of(-x) + T{1});
}

// Each kind has y = gelu(x) and slope = gelu'(x).
struct GeluErf {
  template <class T>
  static Vec<T> y(const Vec<T>& x) {
    return gelu_erf(x);
  }
  template <class T>
  static Vec<T> slope(const Vec<T>& x) {
    return gelu_erf_slope(x);
  }
};

struct GeluTanh {
  static constexpr double kRoot = 0.797884560802865356;  // √(2/π)

  // x/2 · (1 + tanh u) = x · σ(2u),   u = √(2/π) · (x + 0.044715·x³)
  template <class T>
  static Vec<T> y(const Vec<T>& x) {
    return x * logistic<T>(x * (x * x * T(2 * kRoot * 0.044715) + T(2 * kRoot)));
  }
  // s + x·s·(1 − s)·(2u)',   s = σ(2u)
  template <class T>
  static Vec<T> slope(const Vec<T>& x) {
    const Vec<T> s = logistic<T>(x * (x * x * T(2 * kRoot * 0.044715) + T(2 * kRoot)));
    return s + x * s * (T{1} - s) * (x * x * T(6 * kRoot * 0.044715) + T(2 * kRoot));
  }
};

struct GeluQuick {
  // x · σ(1.702·x)
  template <class T>
  static Vec<T> y(const Vec<T>& x) {
    return x * logistic<T>(x * T(1.702));
  }
  // s + 1.702·x·s·(1 − s),   s = σ(1.702·x)
  template <class T>
  static Vec<T> slope(const Vec<T>& x) {
    const Vec<T> s = logistic<T>(x * T(1.702));
    return s + x * s * (T{1} - s) * T(1.702);
  }
};

#ifdef __AVX512F__
inline const GeluTable& gelu_table(GeluKind kind) {
  static const GeluTable erf(GeluErf{}), tanh(GeluTanh{}), quick(GeluQuick{});
  return kind == GeluKind::erf ? erf : kind == GeluKind::tanh ? tanh : quick;
}
#endif

// Calls body with what has y and slope for elements of C, so that the choice is made once an op and not once
// an element. Copied to where the loop is, a table lies in registers.
template <class C, class Body>
inline void with_gelu(GeluKind kind, const Body& body) {
#ifdef __AVX512F__
  if constexpr (std::is_same_v<C, Bf16>) return body(gelu_table(kind));
#endif
  switch (kind) {
    case GeluKind::erf:
      return body(GeluErf{});
    case GeluKind::tanh:
      return body(GeluTanh{});
    case GeluKind::quick:
      return body(GeluQuick{});
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
