// The fused linear ops in bf16, one at a time, so that no result of one is an operand of the next: then every
// bf16 result is rounded once. Sums, biases and the residual stream are f32.
#include <doctest/doctest.h>

#include <cmath>

#include "kernels/linear.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

struct Sizes {
  std::int64_t samples, tokens, in, out;
};

const Sizes kSizes[] = {{1, 1, 1, 1}, {3, 1, 31, 33}, {2, 33, 33, 31}, {2, 197, 48, 96}, {1, 257, 64, 257}};

Dropout dropout(double rate, Purpose purpose) {
  return {.rate = rate, .key = {.seed = 11, .purpose = purpose, .layer = 3, .step = 5}, .first_sample = 2};
}

Scenario gelu(const Sizes& s, GeluKind kind, double rate, bool keep_pre) {
  return [=](OpRun& run) {
    const Shape ys = {s.samples, s.tokens, s.out};
    run.backend().run(LinearGeluForward{.y = run.output("y", ys),
                                        .pre = keep_pre ? run.output("pre", ys).out() : Out{},
                                        .x = run.input("x", {s.samples, s.tokens, s.in}),
                                        .weight = run.input("weight", {s.out, s.in}),
                                        .bias = run.wide_input("bias", {s.out}),
                                        .gelu = kind,
                                        .dropout = dropout(rate, Purpose::mlp_drop)});
  };
}

// With pre kept, y is that of the rounded pre: one rounding more. On cuda the bias is rounded, and pre
// always; a GELU's slope is up to 1.13, and with dropout y is divided by 0.7.
TEST_CASE("linear_gelu: bf16") {
  for (const Sizes& sizes : kSizes) {
    check_bf16(gelu(sizes, GeluKind::erf, 0, true), {}, 1, 1.13);
    check_bf16(gelu(sizes, GeluKind::tanh, 0.3, false), {}, 0, 2 * 1.13 / 0.7);
    check_bf16(gelu(sizes, GeluKind::tanh, 0, true), {}, 1, 1.13);
  }
  check_bf16(gelu({2, 33, 33, 31}, GeluKind::quick, 0.3, true), {}, 1, 2 * 1.13 / 0.7);
}

struct Switches {
  bool gamma = false;
  double drop = 0, drop_path = 0;
};

Scenario residual(const Sizes& s, const Switches& on) {
  return [=](OpRun& run) {
    const Shape ys = {s.samples, s.tokens, s.out};
    run.backend().run(LinearResidualForward{.y = run.wide_output("y", ys),
                                            .branch = on.gamma ? run.output("branch", ys).out() : Out{},
                                            .residual = run.wide_input("residual", ys),
                                            .x = run.input("x", {s.samples, s.tokens, s.in}),
                                            .weight = run.input("weight", {s.out, s.in}),
                                            .bias = run.wide_input("bias", {s.out}),
                                            .gamma = on.gamma ? run.wide_input("gamma", {s.out}).in() : In{},
                                            .dropout = dropout(on.drop, Purpose::mlp_out_drop),
                                            .drop_path = dropout(on.drop_path, Purpose::drop_path)});
  };
}

// On cuda product and bias are rounded where something stands between them and the residual stream; the two
// rates divide by 0.48 together.
TEST_CASE("linear_residual: bf16 forward") {
  for (const Sizes& sizes : kSizes) {
    check_bf16(residual(sizes, {}));
    check_bf16(residual(sizes, {.gamma = true}), {}, 0, 2);
    check_bf16(residual(sizes, {.gamma = true, .drop = 0.2, .drop_path = 0.4}), {}, 0, 2 / 0.48);
  }
}

Scenario residual_backward(const Sizes& s, const Switches& on, bool through_gelu,
                           GeluKind gelu = GeluKind::erf, double gelu_drop = 0) {
  return [=](OpRun& run) {
    const Shape xs = {s.samples, s.tokens, s.in}, ys = {s.samples, s.tokens, s.out}, ws = {s.out, s.in};
    const Tensor undefined(run.backend(), run.dtype(), ys);  // where it would be dy itself
    run.backend().run(
        LinearResidualBackward{.dx = run.output("dx", xs),
                               .dbranch = on.gamma ? run.output("dbranch", ys).out() : undefined.out(),
                               .dweight_acc = run.accumulator("dweight", ws),
                               .dbias_acc = run.accumulator("dbias", {s.out}),
                               .dgamma_acc = on.gamma ? run.accumulator("dgamma", {s.out}).out() : Out{},
                               .dy = run.wide_input("dy", ys),
                               .branch = on.gamma ? run.input("branch", ys).in() : In{},
                               .x = run.input("x", xs),
                               .weight = run.input("weight", ws),
                               .gamma = on.gamma ? run.wide_input("gamma", {s.out}).in() : In{},
                               .dropout = dropout(on.drop, Purpose::mlp_out_drop),
                               .drop_path = dropout(on.drop_path, Purpose::drop_path),
                               .gelu_pre = through_gelu ? run.input("pre", xs).in() : In{},
                               .gelu = gelu,
                               .gelu_dropout = dropout(gelu_drop, Purpose::mlp_drop)});
  };
}

// dy that bf16 has, and gammas that are powers of two: with rates of 1/2 dbranch is then exact, and what is
// computed from it rounded no more than once.
Values exact_branch(const Sizes& s) {
  Values given;
  for (std::int64_t i = 0; i < s.samples * s.tokens * s.out; ++i)
    given["dy"].push_back(static_cast<double>(i * 37 % 255 - 127) / 64);
  for (std::int64_t i = 0; i < s.out; ++i)
    given["gamma"].push_back(std::ldexp(i % 2 == 0 ? 1.0 : -1.0, static_cast<int>(i % 3) - 1));
  return given;
}

// On cuda dx is rounded before it goes through the GELU, unless cuBLASLt has that in its product.
TEST_CASE("linear_residual: bf16 backward") {
  for (const Sizes& sizes : kSizes) {
    const Switches all = {.gamma = true, .drop = 0.5, .drop_path = 0.5};
    check_bf16(residual_backward(sizes, all, true, GeluKind::erf, 0.3), exact_branch(sizes), 0, 1.13 / 0.7);
    check_bf16(residual_backward(sizes, {}, true, GeluKind::tanh), exact_branch(sizes), 0, 1.13);
    check_bf16(residual_backward(sizes, {.gamma = true}, false), exact_branch(sizes));
  }
  const Sizes large = {2, 700, 768, 8};  // results past the CPU's caches
  check_cpu_bf16(residual_backward(large, {}, true, GeluKind::erf), exact_branch(large));
  check_cpu_bf16(residual_backward(large, {}, false), exact_branch(large));
}

}  // namespace
}  // namespace vitrail::test
