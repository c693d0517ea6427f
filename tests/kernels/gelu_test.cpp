#include "kernels/gelu.h"

#include <doctest/doctest.h>

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
                                        .bias = run.input("bias", {s.features}),
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
        for (const char* isa : {"avx2", "avx512"}) {
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

TEST_CASE("gelu: threads and instruction sets") {
  check_backends(hidden_layer({2, 197, 96}, GeluKind::erf, {.rate = 0.3, .key = {}, .first_sample = 0}));
}

}  // namespace
}  // namespace vitrail::test
