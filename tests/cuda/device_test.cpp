// What is the cuda device's own: exact masks, head sizes, refusals. The ops themselves are tested in
// tests/kernels, by the bodies that test the CPU.

#include <doctest/doctest.h>

#include "kernels/error.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

Scenario dropped(const Shape& shape) {
  return [=](OpRun& run) {
    const Dropout dropout{.rate = 0.3,
                          .key = {.seed = 5, .purpose = Purpose::pos_drop, .layer = 2, .step = 9},
                          .first_sample = 3};
    run.backend().run(
        ApplyDropout{.y = run.output("y", shape), .x = run.input("x", shape), .dropout = dropout});
  };
}

TEST_CASE("cuda: dropout has the CPU's very bits") {
  for (const Shape& shape : {Shape{3, 5, 8}, Shape{2, 31}, Shape{1, 257, 3}})
    CHECK(results_on(*cuda_backend(), DType::f32, dropped(shape), {}) ==
          results_on(*cpu_backend(), DType::f32, dropped(shape), {}));
}

Scenario attention(std::int64_t tokens, std::int64_t heads, std::int64_t head_dim, double rate) {
  return [=](OpRun& run) {
    const std::int64_t dim = heads * head_dim;
    const Shape wide = {1, tokens, 3 * dim}, narrow = {1, tokens, dim};
    const Dropout dropout{.rate = rate, .key = {.seed = 5, .purpose = Purpose::attn_drop}};
    const In qkv = run.input("qkv", wide);
    const Out y = run.output("y", narrow), lse = run.output("lse", {1, heads, tokens});
    run.backend().run(AttentionForward{.y = y, .lse = lse, .qkv = qkv, .heads = heads, .dropout = dropout});
    run.backend().run(AttentionBackward{.dqkv = run.output("dqkv", wide),
                                        .dy = run.cotangent("y", narrow),
                                        .y = y,
                                        .qkv = qkv,
                                        .lse = lse,
                                        .heads = heads,
                                        .dropout = dropout});
  };
}

void check_attention(std::int64_t tokens, std::int64_t heads, std::int64_t head_dim, double rate) {
  CAPTURE(tokens);
  CAPTURE(head_dim);
  const Scenario scenario = attention(tokens, heads, head_dim, rate);
  CHECK(check_cuda(scenario, {}, reference_results(scenario)));
}

TEST_CASE("cuda: attention of every head size and odd numbers of tokens") {
  for (std::int64_t tokens : {1, 31, 33})
    check_attention(tokens, 2, 16, 0);
  check_attention(257, 1, 64, 0);
  check_attention(65, 1, 80, 0);
  check_attention(40, 1, 96, 0.2);
  check_attention(70, 1, 128, 0);
}

TEST_CASE("cuda: what the device does not have is refused by name") {
  CHECK_THROWS_AS(results_on(*cuda_backend(), DType::f32, attention(4, 1, 130, 0), {}), Error);
  CHECK_THROWS_AS(results_on(*cuda_backend(), DType::f64, dropped({2, 4}), {}), Error);
}

}  // namespace
}  // namespace vitrail::test
