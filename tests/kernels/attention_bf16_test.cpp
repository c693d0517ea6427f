#include "tests/support/attention_run.h"

namespace vitrail::test {
namespace {

using Sizes = AttentionSizes;

const Sizes kSizes[] = {{2, 1, 3, 64},   {2, 31, 2, 16},  {1, 33, 3, 21},  {1, 257, 1, 32},
                        {2, 197, 2, 64}, {2, 33, 2, 48},  {1, 65, 2, 80},  {1, 31, 3, 88},
                        {1, 197, 1, 96}, {1, 64, 1, 128}, {1, 257, 1, 128}};

// y is a mean of v's, of which none is beyond 1, weighted by p: rounding p moves it by no more than one
// rounding of 1 (1 / (1 − rate) with dropout); lse is f32.
TEST_CASE("attention: bf16 forward") {
  for (const Sizes& s : kSizes) {
    CAPTURE(s.tokens);
    check_bf16(attention_forward(s, 0), {}, 1);
    check_bf16(attention_forward(s, 0.25), {}, 1 / 0.75);
  }
}

void check_backward(const Sizes& s, double rate) {
  OpRun exact(*cpu_backend(), DType::f64, {}, true);
  attention_backward(s, rate)(exact);
  if (Backend* cuda = cuda_backend()) {
    shuffle_cuda(1);
    const Values first = results_on(*cuda, DType::bf16, attention_backward(s, rate), {});
    check_bf16_attention_gradients(s, first, exact.results());
    shuffle_cuda(2);
    CHECK(results_on(*cuda, DType::bf16, attention_backward(s, rate), {}) == first);
  }
  for (const std::string& isa : kCpuIsas) {
    CAPTURE(isa);
    Values first;
    for (int threads : {1, 2, 3, 8}) {
      Backend* backend = cpu_backend({.threads = threads, .isa = isa});
      if (!backend) break;
      OpRun run(*backend, DType::bf16, {});
      attention_backward(s, rate)(run);
      if (threads == 1) first = run.results();
      CHECK(run.results() == first);
    }
    if (!first.empty()) check_bf16_attention_gradients(s, first, exact.results());
  }
}

TEST_CASE("attention: bf16 backward") {
  for (const Sizes& s : kSizes) {
    CAPTURE(s.tokens);
    check_backward(s, 0);
    check_backward(s, 0.25);
  }
}

TEST_CASE("attention: bf16 results past the CPU's caches") {
  const Sizes whole = {4100, 4, 2, 32}, part = {4100, 4, 2, 40};  // heads on whole vectors, and not
  check_cpu_bf16(attention_forward(part, 0), {}, 1);
  check_backward(whole, 0);
}

TEST_CASE("attention: bf16 with large scores neither overflows nor becomes NaN") {
  Values given;
  for (int i = 0; i < 33 * 24; ++i)
    given["qkv"].push_back(i % 24 < 16 ? 60 * std::sin(i) : std::cos(i));
  OpRun run(*cpu_backend(), DType::bf16, given);
  attention_backward({1, 33, 1, 8}, 0)(run);
  const Values results = run.results();
  for (const char* name : {"y", "lse", "dqkv"}) {
    for (double value : results.at(name))
      CHECK(std::isfinite(value));
  }
  for (double value : results.at("y"))
    CHECK(std::abs(value) <= 1);
}

}  // namespace
}  // namespace vitrail::test
