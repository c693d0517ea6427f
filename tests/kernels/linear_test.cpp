#include "kernels/linear.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

struct Sizes {
  std::int64_t samples, tokens, in, out;
};

const Sizes kSmall[] = {{1, 1, 1, 1}, {2, 3, 5, 4}, {3, 1, 17, 9}, {1, 33, 8, 31}};
const Sizes kLarge[] = {{2, 197, 96, 80}, {3, 31, 33, 65}, {4, 1, 192, 10}, {1, 700, 40, 24}};

Dropout dropout(double rate, Purpose purpose) {
  return {.rate = rate, .key = {.seed = 11, .purpose = purpose, .layer = 3, .step = 5}, .first_sample = 2};
}

Scenario linear(const Sizes& s, bool with_bias) {
  return [=](OpRun& run) {
    const Shape xs = {s.samples, s.tokens, s.in}, ys = {s.samples, s.tokens, s.out}, ws = {s.out, s.in};
    const In x = run.input("x", xs), weight = run.input("weight", ws);
    const In bias = with_bias ? In(run.wide_input("bias", {s.out})) : In{};
    run.backend().run(LinearForward{.y = run.output("y", ys), .x = x, .weight = weight, .bias = bias});
    const Out dbias = with_bias ? run.accumulator("dbias", {s.out}).out() : Out{};
    run.backend().run(LinearBackward{.dx = run.output("dx", xs),
                                     .dweight_acc = run.accumulator("dweight", ws),
                                     .dbias_acc = dbias,
                                     .dy = run.cotangent("y", ys),
                                     .x = x,
                                     .weight = weight});
  };
}

TEST_CASE("linear: the backward is the forward's gradient") {
  for (const Sizes& sizes : kSmall) {
    check_gradients(linear(sizes, true), {"x", "weight", "bias"});
    check_gradients(linear(sizes, false), {"x", "weight"});
  }
}

TEST_CASE("linear: f32, threads and instruction sets") {
  for (const Sizes& sizes : kSmall)
    check_backends(linear(sizes, true));
  for (const Sizes& sizes : kLarge)
    check_backends(linear(sizes, true));
  check_backends(linear({2, 97, 800, 390}, true));  // several blocks of a product, in each direction
}

// cuBLASLt wants the bias in bf16 where y is: one rounding, of a number that is at most 1.
constexpr double kBiasOnCuda = 1;

TEST_CASE("linear: bf16") {
  for (const Sizes& sizes : kSmall)
    check_bf16(linear(sizes, true), {}, 0, kBiasOnCuda);
  for (const Sizes& sizes : kLarge)
    check_bf16(linear(sizes, true), {}, 0, kBiasOnCuda);
  check_bf16(linear({3, 257, 31, 197}, false));
  check_cpu_bf16(linear({9, 197, 64, 390}, true));  // several blocks of rows, slices and tiles
  check_cpu_bf16(linear({2, 700, 8, 768}, true));   // results past the CPU's caches
  check_cpu_bf16(linear({2, 700, 768, 8}, true));
}

TEST_CASE("linear: the formula, written out") {
  const Sizes s = {2, 3, 19, 7};
  Values given;
  for (int i = 0; i < 6 * 19; ++i)
    given["x"].push_back(std::sin(i));
  for (int i = 0; i < 7 * 19; ++i)
    given["weight"].push_back(std::cos(i));
  for (int i = 0; i < 7; ++i)
    given["bias"].push_back(i);
  const Values results = reference_results(linear(s, true), given);
  for (std::size_t row = 0; row < 6; ++row) {
    for (std::size_t o = 0; o < 7; ++o) {
      double y = given["bias"][o];
      for (std::size_t i = 0; i < 19; ++i)
        y += given["x"][row * 19 + i] * given["weight"][o * 19 + i];
      CHECK(results.at("y")[row * 7 + o] == doctest::Approx(y).epsilon(1e-12));
    }
  }
}

TEST_CASE("linear: the gradient of x may be left out") {
  const Sizes s = {2, 31, 24, 40};
  const Scenario without = [=](OpRun& run) {
    const Shape xs = {s.samples, s.tokens, s.in}, ys = {s.samples, s.tokens, s.out}, ws = {s.out, s.in};
    run.backend().run(LinearBackward{.dx = {},
                                     .dweight_acc = run.accumulator("dweight", ws),
                                     .dbias_acc = run.accumulator("dbias", {s.out}),
                                     .dy = run.cotangent("y", ys),
                                     .x = run.input("x", xs),
                                     .weight = run.input("weight", ws)});
  };
  OpRun run(*cpu_backend(), DType::f64, {});
  without(run);
  const Values all = reference_results(linear(s, true)), some = run.results();
  check_close("dweight", some.at("dweight"), all.at("dweight"), kF64Tolerance);
  check_close("dbias", some.at("dbias"), all.at("dbias"), kF64Tolerance);
}

struct MlpSwitches {
  GeluKind gelu = GeluKind::erf;
  bool bias = true;
  bool gamma = false;
  double hidden_drop = 0, drop = 0, drop_path = 0;
};

// y = residual + path·gamma ∘ dropout(dropout(gelu(x·w1ᵀ + b1))·w2ᵀ + b2), in = out of the half block
void run_mlp(OpRun& run, const Sizes& s, const MlpSwitches& on) {
  const Shape outer = {s.samples, s.tokens, s.in}, hidden = {s.samples, s.tokens, s.out};
  const Shape w1s = {s.out, s.in}, w2s = {s.in, s.out};
  const auto optional_in = [&](bool present, const char* name, std::int64_t n) {
    return present ? run.input(name, {n}).in() : In{};
  };
  const auto optional_acc = [&](bool present, const char* name, std::int64_t n) {
    return present ? run.accumulator(name, {n}).out() : Out{};
  };
  const In x = run.input("x", outer), w1 = run.input("w1", w1s), w2 = run.input("w2", w2s);
  const In b1 = optional_in(on.bias, "b1", s.out), b2 = optional_in(on.bias, "b2", s.in);
  const In gamma = optional_in(on.gamma, "gamma", s.in);
  const Out h = run.output("h", hidden), pre = run.output("pre", hidden);
  const Out branch = on.gamma ? run.output("branch", outer).out() : Out{};
  const Dropout hidden_drop = dropout(on.hidden_drop, Purpose::mlp_drop);
  const Dropout drop = dropout(on.drop, Purpose::mlp_out_drop);
  const Dropout path = dropout(on.drop_path, Purpose::drop_path);
  run.backend().run(LinearGeluForward{
      .y = h, .pre = pre, .x = x, .weight = w1, .bias = b1, .gelu = on.gelu, .dropout = hidden_drop});
  run.backend().run(LinearResidualForward{.y = run.output("y", outer),
                                          .branch = branch,
                                          .residual = run.input("residual", outer),
                                          .x = h,
                                          .weight = w2,
                                          .bias = b2,
                                          .gamma = gamma,
                                          .dropout = drop,
                                          .drop_path = path});
  const Tensor scratch(run.backend(), run.dtype(), outer);
  const Out dpre = run.output("dpre", hidden);
  run.backend().run(LinearResidualBackward{.dx = dpre,
                                           .dbranch = scratch,
                                           .dweight_acc = run.accumulator("dw2", w2s),
                                           .dbias_acc = optional_acc(on.bias, "db2", s.in),
                                           .dgamma_acc = optional_acc(on.gamma, "dgamma", s.in),
                                           .dy = run.cotangent("y", outer),
                                           .branch = branch,
                                           .x = h,
                                           .weight = w2,
                                           .gamma = gamma,
                                           .dropout = drop,
                                           .drop_path = path,
                                           .gelu_pre = pre,
                                           .gelu = on.gelu,
                                           .gelu_dropout = hidden_drop});
  run.backend().run(LinearBackward{.dx = run.output("dx", outer),
                                   .dweight_acc = run.accumulator("dw1", w1s),
                                   .dbias_acc = optional_acc(on.bias, "db1", s.out),
                                   .dy = dpre,
                                   .x = x,
                                   .weight = w1});
  CHECK(scratch.guards_are_whole());
}

Scenario mlp(const Sizes& sizes, const MlpSwitches& on) {
  return [=](OpRun& run) { run_mlp(run, sizes, on); };
}

TEST_CASE("mlp: gradients with every kind of gelu and every optional operand") {
  const Sizes s = {5, 3, 6, 10};
  for (GeluKind gelu : {GeluKind::erf, GeluKind::tanh, GeluKind::quick}) {
    check_gradients(mlp(s, {.gelu = gelu}), {"x", "w1", "b1", "w2", "b2"});
    check_gradients(mlp(s, {.gelu = gelu, .bias = false, .gamma = true}), {"x", "w1", "w2", "gamma"});
  }
  check_gradients(mlp(s, {.gamma = true, .hidden_drop = 0.3, .drop = 0.2, .drop_path = 0.4}),
                  {"x", "w1", "b1", "w2", "b2", "gamma"});
  check_gradients(mlp(s, {.hidden_drop = 0.3}), {"x", "w1", "b1", "w2", "b2"});
  check_gradients(mlp(s, {.drop = 0.2}), {"x", "w1", "b1", "w2", "b2"});
  check_gradients(mlp(s, {.drop_path = 0.4}), {"x", "w1", "b1", "w2", "b2"});
}

TEST_CASE("mlp: f32, threads and instruction sets") {
  const MlpSwitches all = {.gamma = true, .hidden_drop = 0.3, .drop = 0.2, .drop_path = 0.4};
  for (const Sizes& sizes : {Sizes{5, 1, 7, 9}, Sizes{3, 33, 31, 65}, Sizes{2, 197, 48, 96}}) {
    check_backends(mlp(sizes, {}));
    check_backends(mlp(sizes, {.gelu = GeluKind::tanh}));
    check_backends(mlp(sizes, {.gelu = GeluKind::quick, .bias = false}));
    check_backends(mlp(sizes, all));
  }
  // Hidden layers that the CPU writes past its caches (kernels/cpu/stream.h), one with rows of part vectors.
  check_backends(mlp({2, 700, 8, 384}, all));
  check_backends(mlp({2, 700, 8, 390}, {}));
}

double gelu_of(GeluKind kind, double x) {
  if (kind == GeluKind::erf) return x / 2 * (1 + std::erf(x / std::sqrt(2.0)));
  if (kind == GeluKind::quick) return x / (1 + std::exp(-1.702 * x));
  return x / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

// One feature through the weight 1: pre is x itself.
Scenario gelu_alone(GeluKind kind, std::int64_t count) {
  return [=](OpRun& run) {
    run.backend().run(LinearGeluForward{.y = run.output("y", {1, count, 1}),
                                        .pre = {},
                                        .x = run.input("x", {1, count, 1}),
                                        .weight = run.input("weight", {1, 1}),
                                        .bias = {},
                                        .gelu = kind,
                                        .dropout = {}});
  };
}

TEST_CASE("gelu: the formula, over the whole range, in f64 and f32") {
  Values given = {{"weight", {1}}};
  for (int i = -1600; i <= 1600; ++i)
    given["x"].push_back(i / 64.0);
  const auto count = static_cast<std::int64_t>(given["x"].size());
  for (GeluKind kind : {GeluKind::erf, GeluKind::tanh, GeluKind::quick}) {
    CAPTURE(static_cast<int>(kind));
    OpRun f32(*cpu_backend(), DType::f32, given);
    gelu_alone(kind, count)(f32);
    const std::vector<double> exact = reference_results(gelu_alone(kind, count), given).at("y");
    const std::vector<double> fast = f32.results().at("y");
    double worst = 0, worst_fast = 0;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const double y = gelu_of(kind, given["x"][i]), measure = std::max(std::abs(given["x"][i]), 1.0);
      worst = std::max(worst, std::abs(exact[i] - y) / measure);
      worst_fast = std::max(worst_fast, std::abs(fast[i] - y) / measure);
    }
    CHECK(worst <= 1e-15);
    CHECK(worst_fast <= 1e-6);
  }
}

TEST_CASE("linear_residual: formula, dropped samples and the residual in place") {
  const Dropout path = dropout(0.5, Purpose::drop_path);
  OpRun run(*cpu_backend(), DType::f64, {});
  const In x = run.input("x", {64, 1, 3}), weight = run.input("weight", {2, 3}),
           bias = run.input("bias", {2});
  const In gamma = run.input("gamma", {2});
  const Tensor& y = run.input("residual", {64, 1, 2});
  const std::vector<double> residual = y.get();
  run.backend().run(LinearResidualForward{.y = y,
                                          .branch = {},
                                          .residual = y,
                                          .x = x,
                                          .weight = weight,
                                          .bias = bias,
                                          .gamma = gamma,
                                          .dropout = {},
                                          .drop_path = path});
  const auto* px = x.as<double>();
  const auto* pw = weight.as<double>();
  for (std::size_t sample = 0; sample < 64; ++sample) {
    const Random4 random = random4(path.key, path.first_sample + static_cast<std::uint32_t>(sample), 0);
    const double kept = uniform(random[0]) < 0.5 ? 0 : 2;
    for (std::size_t o = 0; o < 2; ++o) {
      double value = bias.as<double>()[o];
      for (std::size_t i = 0; i < 3; ++i)
        value += px[sample * 3 + i] * pw[o * 3 + i];
      const double expected = residual[sample * 2 + o] + kept * gamma.as<double>()[o] * value;
      CHECK(y.get()[sample * 2 + o] == doctest::Approx(expected).epsilon(1e-13));
    }
  }
}

}  // namespace
}  // namespace vitrail::test
