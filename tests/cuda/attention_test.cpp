// Attention of head sizes and numbers of tokens that are the cuda device's concern: kernels are chosen by the
// first, and walk in tiles along the second.

#include "tests/support/attention_run.h"

namespace vitrail::test {
namespace {

void check_attention(const AttentionSizes& s, double rate) {
  CAPTURE(s.tokens);
  CAPTURE(s.head_dim);
  const Scenario scenario = attention_backward(s, rate);
  CHECK(check_cuda(scenario, {}, reference_results(scenario)));
}

TEST_CASE("cuda: attention of every head size and odd numbers of tokens") {
  for (const std::int64_t tokens : {1, 31, 33})
    check_attention({1, tokens, 2, 16}, 0);
  check_attention({1, 257, 1, 64}, 0);
  check_attention({1, 65, 1, 80}, 0);
  check_attention({1, 40, 1, 96}, 0.2);
  check_attention({1, 70, 1, 128}, 0);
}

TEST_CASE("cuda: attention of many tokens in f32") {
  check_attention({1, 577, 1, 16}, 0);
  check_attention({1, 1025, 1, 16}, 0.25);
}

// On operands that bf16 has.
Values exact_results(const Scenario& scenario) {
  OpRun exact(*cpu_backend(), DType::f64, {}, true);
  scenario(exact);
  return exact.results();
}

// Against the largest of y, since means of many tokens are small.
void check_bf16_forward(const Values& found, const Values& exact) {
  check_close("lse", found.at("lse"), exact.at("lse"), kF32Tolerance);
  check_close("y", found.at("y"), exact.at("y"), 2 * kBf16Roundoff);
}

void check_bf16_attention(const AttentionSizes& s, double rate) {
  CAPTURE(s.tokens);
  const Scenario scenario = attention_backward(s, rate);
  shuffle_cuda(1);
  const Values found = results_on(*cuda_backend(), DType::bf16, scenario, {}),
               exact = exact_results(scenario);
  check_bf16_forward(found, exact);
  check_bf16_attention_gradients(s, found, exact);
}

TEST_CASE("cuda: attention of many tokens in bf16") {
  check_bf16_attention({1, 577, 1, 32}, 0);
  check_bf16_attention({1, 1025, 1, 16}, 0.25);
}

TEST_CASE("cuda: attention of as many tokens as there may be") {
  const Scenario forward = attention_forward({1, 4096, 1, 16}, 0);
  shuffle_cuda(1);
  check_close(results_on(*cuda_backend(), DType::f32, forward, {}), reference_results(forward),
              kF32Tolerance);
  check_bf16_forward(results_on(*cuda_backend(), DType::bf16, forward, {}), exact_results(forward));
}

}  // namespace
}  // namespace vitrail::test
