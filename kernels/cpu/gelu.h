#pragma once
// GELU and its derivative on vectors; the formulas are in kernels/gelu.h. f64 is exact, for the gradient
// checks.

#include "kernels/cpu/vec.h"
#include "kernels/gelu.h"

namespace vitrail::cpu::VITRAIL_ISA {

// The normal distribution at −|x|: tail = Φ(−|x|), density = φ(x).
template <class T>
struct NormalTail {
  Vec<T> tail, density;
};

// Φ(−t) = exp(−t²/2) · w·q(w), w = 1 / (1 + 0.27·t): the form of Abramowitz and Stegun 7.1.26, with a
// polynomial of degree 8 fitted to a relative error of 3e-8 on [0, 14], so that both tails of GELU keep their
// digits.
inline NormalTail<float> normal_tail(const Vec<float>& x) {
  constexpr float kFit[] = {0.10772209305873241f, 0.10751860326277085f, 0.10198036699902009f,
                            0.0714060625610284f,  0.10927720642906227f, -0.07121391694036064f,
                            0.1714446873456438f,  -0.1272421198552723f, 0.029107028211283813f};
  const Vec<float> t = larger<float>(x, -x);
  const Vec<float> w = inverse_of(0.27f * t + 1.0f);
  Vec<float> q = w * kFit[8] + kFit[7];
  for (int power = 6; power >= 0; --power)
    q = q * w + kFit[power];
  const Vec<float> bell = exp_of(x * x * -0.5f);
  return {bell * w * q, bell * 0.398942280401432678f};
}

inline NormalTail<double> normal_tail(const Vec<double>& x) {
  NormalTail<double> result;
  for (int lane = 0; lane < kLanes<double>; ++lane) {
    result.tail[lane] = 0.5 * ::erfc(::fabs(x[lane]) * 0.707106781186547524);
    result.density[lane] = ::exp(-0.5 * x[lane] * x[lane]) * 0.398942280401432678;
  }
  return result;
}

template <class T>
inline Vec<T> logistic(const Vec<T>& x) {
  return inverse_of(exp_of(-x) + T{1});
}

// Each kind has y = gelu(x) and slope = gelu'(x).
struct GeluErf {
  // x · Φ(x)
  template <class T>
  static Vec<T> y(const Vec<T>& x) {
    const Vec<T> tail = normal_tail(x).tail;
    return x * (x < T{0} ? tail : T{1} - tail);
  }
  // Φ(x) + x · φ(x)
  template <class T>
  static Vec<T> slope(const Vec<T>& x) {
    const NormalTail<T> normal = normal_tail(x);
    return (x < T{0} ? normal.tail : T{1} - normal.tail) + x * normal.density;
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

// Calls body with the kind as a type, so that the choice is made once an op and not once an element.
template <class Body>
inline void with_gelu(GeluKind kind, const Body& body) {
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
