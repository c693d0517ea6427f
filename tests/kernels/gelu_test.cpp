#include "kernels/gelu.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

struct Sizes {
  std::int64_t samples, tokens, features;
};

// The hidden layer as the fused op gives it, and "again" from its pre.
Scenario hidden_layer(const Sizes& s, GeluKind kind, const Dropout& dropout) {
  return [=](OpRun& run) {
    const Shape xs = {s.samples, s.tokens, 5}, ys = {s.samples, s.tokens, s.features};
    const Out pre = run.output("pre", ys);
    run.backend().run(LinearGeluForward{.y = run.output("y", ys),
                                        .pre = pre,
                                        .x = run.input("x", xs),
                                        .weight = run.input("weight", {s.features, 5}),
                                        .bias = run.wide_input("bias", {s.features}),
                                        .gelu = kind,
                                        .dropout = dropout});
    run.backend().run(
        GeluForward{.y = run.output("again", ys), .pre = pre, .gelu = kind, .dropout = dropout});
  };
}

TEST_CASE("gelu: from pre alone come the bits of the fused op") {
  const Dropout off;
  const Dropout on = {.rate = 0.3, .key = {.seed = 11, .purpose = Purpose::mlp_drop}, .first_sample = 2};
  for (const Sizes& sizes : {Sizes{1, 1, 1}, Sizes{3, 33, 31}, Sizes{2, 197, 96}}) {
    for (const GeluKind kind : {GeluKind::erf, GeluKind::tanh, GeluKind::quick}) {
      for (const Dropout& dropout : {off, on}) {
        for (const std::string& isa : kCpuIsas) {
          Backend* backend = cpu_backend({.threads = 2, .isa = isa});
          if (backend == nullptr) continue;
          for (const DType dtype : {DType::f32, DType::f64}) {
            CAPTURE(name_of(dtype));
            OpRun run(*backend, dtype, {});
            hidden_layer(sizes, kind, dropout)(run);
            const Values results = run.results();
            CHECK((results.at("again") == results.at("y")));
          }
        }
      }
    }
  }
}

const Values kOne = {{"dy", {1}}};

// gelu(pre), and dx = gelu'(pre): the gradient through one output of ones; the run is given kOne.
void value_and_slope(OpRun& run, GeluKind kind = GeluKind::erf) {
  const std::int64_t features = 3001;
  const Shape xs = {1, 1, features}, ys = {1, 1, 1};
  std::vector<double> pre(static_cast<std::size_t>(features));
  for (std::size_t i = 0; i < pre.size(); ++i)
    pre[i] = static_cast<double>(static_cast<float>(0.01 * static_cast<double>(i) - 15));
  const Out given = run.cotangent("pre", xs, pre);
  run.backend().run(GeluForward{.y = run.output("y", xs), .pre = given, .gelu = kind, .dropout = {}});
  LinearResidualBackward backward{};
  backward.dx = run.output("slope", xs);
  backward.dbranch = run.output("dbranch", ys);
  backward.dweight_acc = run.accumulator("dweight", {1, features});
  backward.dy = run.wide_input("dy", ys);  // one
  backward.x = run.input("x", xs);
  backward.weight = run.cotangent("ones", {1, features}, std::vector<double>(pre.size(), 1));
  backward.gelu_pre = given;
  backward.gelu = kind;
  run.backend().run(backward);
}

// Both are fitted in f32 (kernels/cpu/gelu.h).
TEST_CASE("gelu: erf and its slope from tail to tail") {
  OpRun exact(*cpu_backend(), DType::f64, kOne);
  value_and_slope(exact);
  const Values expected = exact.results();
  for (const std::string& isa : kCpuIsas) {
    Backend* backend = cpu_backend({.threads = 2, .isa = isa});
    if (backend == nullptr) continue;
    CAPTURE(isa);
    OpRun run(*backend, DType::f32, kOne);
    value_and_slope(run);
    const Values found = run.results();
    for (std::size_t i = 0; i < found.at("y").size(); ++i) {
      const double y = expected.at("y")[i], error = std::abs(found.at("y")[i] - y);
      CAPTURE(y);
      CHECK(error <= 2e-7 + 6e-8 * std::abs(y));
      if (y < -1e-7) CHECK(error <= 2e-2 * -y);
      CHECK(std::abs(found.at("slope")[i] - expected.at("slope")[i]) <= 4e-7);
    }
  }
}

TEST_CASE("gelu: an infinity or a NaN is not hidden") {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  for (const std::string& isa : kCpuIsas) {
    Backend* backend = cpu_backend({.threads = 2, .isa = isa});
    if (backend == nullptr) continue;
    for (const DType dtype : {DType::f32, DType::bf16}) {
      OpRun run(*backend, dtype, {});
      const Out pre = run.cotangent("pre", {1, 1, 2}, {kInf, std::nan("")});
      run.backend().run(GeluForward{.y = run.output("y", {1, 1, 2}), .pre = pre, .dropout = {}});
      CHECK(run.results().at("y")[0] == kInf);
      CHECK(std::isnan(run.results().at("y")[1]));
    }
  }
}

TEST_CASE("gelu: threads and instruction sets") {
  const Dropout dropout{.rate = 0.3, .key = {}, .first_sample = 0};
  check_backends(hidden_layer({2, 197, 96}, GeluKind::erf, dropout));
  check_backends(hidden_layer({2, 700, 384}, GeluKind::erf, dropout));  // past the CPU's caches
}

// From tail to tail, through each piece of the tables of kernels/cpu/gelu_table.h.
TEST_CASE("gelu: bf16 is off by a rounding and 1e-5") {
  for (const GeluKind kind : {GeluKind::erf, GeluKind::tanh, GeluKind::quick}) {
    CAPTURE(static_cast<int>(kind));
    OpRun exact(*cpu_backend(), DType::f64, kOne, true);
    value_and_slope(exact, kind);
    const Values expected = exact.results();
    for (const std::string& isa : kCpuIsas) {
      Backend* backend = cpu_backend({.threads = 2, .isa = isa});
      if (backend == nullptr) continue;
      CAPTURE(isa);
      OpRun run(*backend, DType::bf16, kOne);
      value_and_slope(run, kind);
      const Values found = run.results();
      for (const char* name : {"y", "slope"}) {
        CAPTURE(name);
        double worst = 0;
        for (std::size_t i = 0; i < found.at(name).size(); ++i) {
          const double value = expected.at(name)[i];
          worst = std::max(worst, std::abs(found.at(name)[i] - value) - 0x1p-8 * std::abs(value));
        }
        CHECK(worst <= (kind == GeluKind::quick ? 4e-5 : 1e-5));
      }
    }
  }
}

TEST_CASE("gelu: bf16, the fused op, its repetition, and results past the CPU's caches") {
  const Dropout dropout{.rate = 0.3, .key = {}, .first_sample = 0};
  check_bf16(hidden_layer({2, 197, 96}, GeluKind::erf, dropout), {}, 1);
  check_bf16(hidden_layer({2, 700, 768}, GeluKind::erf, dropout), {}, 1);
  check_bf16(hidden_layer({2, 700, 776}, GeluKind::tanh, {}), {}, 1);  // rows that do not begin on a vector
}

}  // namespace
}  // namespace vitrail::test
