#include "kernels/adam.h"

#include <doctest/doctest.h>

#include <cmath>
#include <optional>
#include <utility>

#include "tests/support/gradient.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

// Everything of one optimizer run but the tensors.
struct Setting {
  AdamKind kind = AdamKind::adamw;
  std::vector<AdamSegment> segments;
  double max_norm = 0;
  std::optional<double> ema_decay = std::nullopt;
  double lr = 3e-3, beta1 = 0.9, beta2 = 0.99, eps = 1e-6;
};

struct State {
  std::vector<double> weight, first, second, ema, weight_bf16 = {};
};

std::vector<double> gradient_of(std::int64_t step, std::size_t n) {
  return random_values(static_cast<std::uint64_t>(100 + step), n);
}

double norm_of(const std::vector<double>& values) {
  long double sum = 0;
  for (double value : values)
    sum += static_cast<long double>(value) * value;
  return static_cast<double>(std::sqrt(sum));
}

// One step of one weight, as torch.optim.Adam and AdamW document it.
void naive_element(const Setting& s, const AdamSegment& segment, std::int64_t t, double g, State& state,
                   std::size_t i) {
  const double lr = s.lr * segment.lr_scale;
  double& w = state.weight[i];
  if (s.kind == AdamKind::adam) g += segment.weight_decay * w;
  if (s.kind == AdamKind::adamw) w -= lr * segment.weight_decay * w;
  state.first[i] = s.beta1 * state.first[i] + (1 - s.beta1) * g;
  state.second[i] = s.beta2 * state.second[i] + (1 - s.beta2) * g * g;
  const double m = state.first[i] / (1 - std::pow(s.beta1, t));
  const double v = state.second[i] / (1 - std::pow(s.beta2, t));
  w -= lr * m / (std::sqrt(v) + s.eps);
  if (s.ema_decay) state.ema[i] = *s.ema_decay * state.ema[i] + (1 - *s.ema_decay) * w;
}

void naive_step(const Setting& s, std::int64_t t, State& state) {
  std::vector<double> grad = gradient_of(t, state.weight.size());
  if (s.max_norm > 0) {
    const double factor = std::min(1.0, s.max_norm / (norm_of(grad) + 1e-6));
    for (double& g : grad)
      g *= factor;
  }
  for (const AdamSegment& segment : s.segments) {
    for (std::int64_t i = segment.begin; i < segment.end; ++i) {
      const auto at = static_cast<std::size_t>(i);
      naive_element(s, segment, t, grad[at], state, at);
    }
  }
}

State start(std::size_t n) {
  return {random_values(1, n), std::vector<double>(n, 0), std::vector<double>(n, 0), random_values(2, n)};
}

State run_steps(Backend& backend, DType dtype, const Setting& s, std::int64_t n, int steps) {
  const State first = start(static_cast<std::size_t>(n));
  const Shape shape = {n};
  const Tensor weight(backend, dtype, shape, first.weight), m(backend, dtype, shape, first.first);
  const Tensor v(backend, dtype, shape, first.second), ema(backend, dtype, shape, first.ema);
  Tensor grad(backend, dtype, shape);
  const Tensor norm(backend, DType::f64, {1});
  const Tensor rounded(backend, DType::bf16, shape, std::vector<double>(first.weight.size(), 77));
  for (std::int64_t t = 1; t <= steps; ++t) {
    grad.set(gradient_of(t, static_cast<std::size_t>(n)));
    backend.run(GradNorm{.norm = norm, .grad = grad});
    backend.run(AdamStep{.weight = weight,
                         .first_moment = m,
                         .second_moment = v,
                         .weight_bf16 = dtype == DType::f32 ? rounded.out() : Out{},
                         .ema = s.ema_decay ? ema.out() : Out{},
                         .grad = grad,
                         .grad_norm = s.max_norm > 0 ? norm.in() : In{},
                         .segments = s.segments,
                         .kind = s.kind,
                         .step = t,
                         .lr = s.lr,
                         .beta1 = s.beta1,
                         .beta2 = s.beta2,
                         .eps = s.eps,
                         .max_norm = s.max_norm,
                         .ema_decay = s.ema_decay.value_or(0)});
  }
  for (const Tensor* tensor : {&weight, &m, &v, &ema, &std::as_const(grad), &norm, &rounded}) {
    CHECK(tensor->guards_are_whole());
  }
  return {weight.get(), m.get(), v.get(), ema.get(), rounded.get()};
}

// max |a − b| / |b|, where |b| counts as no less than the tensor's root mean square: a moment is a sum of
// gradients of both signs, and what cancels in it is known only to the precision of the terms.
void check_relative(const std::vector<double>& a, const std::vector<double>& b, double tolerance) {
  double worst = 0;
  const double measure = norm_of(b) / std::sqrt(static_cast<double>(b.size()));
  for (std::size_t i = 0; i < b.size(); ++i) {
    const double scale = std::max({std::abs(b[i]), measure, 1e-30});
    worst = std::max(worst, std::abs(a[i] - b[i]) / scale);
  }
  CHECK(worst <= tolerance);
}

void check_ten_steps(const Setting& setting, std::int64_t n) {
  State expected = start(static_cast<std::size_t>(n));
  for (std::int64_t t = 1; t <= 10; ++t)
    naive_step(setting, t, expected);
  for (const auto& [dtype, tolerance] : {std::pair{DType::f64, 1e-12}, std::pair{DType::f32, 1e-6}}) {
    const State found = run_steps(*cpu_backend(), dtype, setting, n, 10);
    const std::string type = name_of(dtype);
    CAPTURE(type);
    check_relative(found.weight, expected.weight, tolerance);
    check_relative(found.first, expected.first, tolerance);
    check_relative(found.second, expected.second, tolerance);
    check_relative(found.ema, expected.ema, tolerance);
  }
}

TEST_CASE("adam: ten steps against the formula") {
  for (AdamKind kind : {AdamKind::adam, AdamKind::adamw}) {
    CAPTURE(static_cast<int>(kind));
    check_ten_steps({.kind = kind, .segments = {{0, 1, 1, 0}}}, 1);
    check_ten_steps({.kind = kind, .segments = {{0, 33, 1, 0.05}}}, 33);
    check_ten_steps({.kind = kind, .segments = {{0, 500, 1, 0.05}}, .max_norm = 1.0}, 500);
    check_ten_steps({.kind = kind, .segments = {{0, 500, 1, 0.05}}, .max_norm = 1e6}, 500);
    check_ten_steps({.kind = kind, .segments = {{0, 500, 0.5, 0.1}}, .ema_decay = 0.9}, 500);
  }
}

// Segments that begin and end inside, at and across the edges of the CPU's chunks, with gaps.
const std::vector<AdamSegment> kSegments = {
    {5, 5, 1, 0},           {5, 100, 1, 0.05},    {100, 117, 0.3, 0},    {200, 16384, 0.7, 0.1},
    {16384, 16385, 2, 0.2}, {20000, 49152, 1, 0}, {50000, 50001, 0, 0.5}};

TEST_CASE("adam: segments have their own rate and decay, and nothing outside them is touched") {
  const Setting setting = {.segments = kSegments, .max_norm = 2.0, .ema_decay = 0.99};
  check_ten_steps(setting, 60001);
  const State before = start(60001), after = run_steps(*cpu_backend(), DType::f64, setting, 60001, 1);
  for (std::size_t i : {0U, 4U, 117U, 199U, 16385U, 19999U, 49152U, 49999U, 50001U, 60000U}) {
    CHECK(after.weight[i] == before.weight[i]);
    CHECK(after.first[i] == 0);
    CHECK(after.second[i] == 0);
    CHECK(after.ema[i] == before.ema[i]);
  }
}

TEST_CASE("adam: the new weights are rounded to bf16, and only they") {
  const State after = run_steps(*cpu_backend(), DType::f32, {.segments = kSegments}, 60001, 2);
  std::vector<double> expected(60001, 77);
  for (const AdamSegment& segment : kSegments) {
    for (auto i = static_cast<std::size_t>(segment.begin); i < static_cast<std::size_t>(segment.end); ++i)
      expected[i] = rounded_to_bf16(after.weight[i]);
  }
  CHECK(after.weight_bf16 == expected);
}

TEST_CASE("adam and grad_norm: the same bits for any number of threads") {
  const Setting setting = {.segments = kSegments, .max_norm = 2.0, .ema_decay = 0.99};
  for (const std::string& isa : kCpuIsas) {
    Backend* alone = cpu_backend({.threads = 1, .isa = isa});
    if (!alone) continue;
    const State first = run_steps(*alone, DType::f32, setting, 200001, 3);
    for (int threads : {2, 3, 7}) {
      const State other =
          run_steps(*cpu_backend({.threads = threads, .isa = isa}), DType::f32, setting, 200001, 3);
      CHECK(other.weight == first.weight);
      CHECK(other.first == first.first);
      CHECK(other.second == first.second);
      CHECK(other.ema == first.ema);
    }
  }
}

TEST_CASE("grad_norm: the square root of the sum of squares") {
  for (std::int64_t n : {1, 31, 33, 65536, 65537, 200001}) {
    const std::vector<double> values = random_values(9, static_cast<std::size_t>(n));
    for (DType dtype : {DType::f32, DType::f64}) {
      Backend& backend = *cpu_backend();
      const Tensor norm(backend, DType::f64, {1}), grad(backend, dtype, {n}, values);
      backend.run(GradNorm{.norm = norm, .grad = grad});
      CHECK(norm.get()[0] == doctest::Approx(norm_of(values)).epsilon(1e-13));
    }
  }
}

}  // namespace
}  // namespace vitrail::test
