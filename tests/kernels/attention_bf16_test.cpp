#include <doctest/doctest.h>

#include <cmath>

#include "kernels/attention.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

struct Sizes {
  std::int64_t batch, tokens, heads, head_dim;
  std::int64_t dim() const { return heads * head_dim; }
};

const Sizes kSizes[] = {{2, 1, 3, 64},   {2, 31, 2, 16},  {1, 33, 3, 21},  {1, 257, 1, 32},
                        {2, 197, 2, 64}, {2, 33, 2, 48},  {1, 65, 2, 80},  {1, 31, 3, 88},
                        {1, 197, 1, 96}, {1, 64, 1, 128}, {1, 257, 1, 128}};

Dropout dropout(double rate) {
  return {.rate = rate,
          .key = {.seed = 3, .purpose = Purpose::attn_drop, .layer = 1, .step = 9},
          .first_sample = 4};
}

Scenario forward(const Sizes& s, double rate) {
  return [=](OpRun& run) {
    run.backend().run(AttentionForward{.y = run.output("y", {s.batch, s.tokens, s.dim()}),
                                       .lse = run.wide_output("lse", {s.batch, s.heads, s.tokens}),
                                       .qkv = run.input("qkv", {s.batch, s.tokens, 3 * s.dim()}),
                                       .heads = s.heads,
                                       .dropout = dropout(rate)});
  };
}

// y is a mean of v's, of which none is beyond 1, weighted by p: rounding p moves it by no more than one
// rounding of 1 (1 / (1 − rate) with dropout); lse is f32.
TEST_CASE("attention: bf16 forward") {
  for (const Sizes& s : kSizes) {
    CAPTURE(s.tokens);
    check_bf16(forward(s, 0), {}, 1);
    check_bf16(forward(s, 0.25), {}, 1 / 0.75);
  }
}

Scenario backward(const Sizes& s, double rate) {
  return [=](OpRun& run) {
    const Shape wide = {s.batch, s.tokens, 3 * s.dim()}, narrow = {s.batch, s.tokens, s.dim()};
    const In qkv = run.input("qkv", wide);
    const Out y = run.output("y", narrow), lse = run.wide_output("lse", {s.batch, s.heads, s.tokens});
    run.backend().run(
        AttentionForward{.y = y, .lse = lse, .qkv = qkv, .heads = s.heads, .dropout = dropout(rate)});
    run.backend().run(AttentionBackward{.dqkv = run.output("dqkv", wide),
                                        .dy = run.cotangent("y", narrow),
                                        .y = y,
                                        .qkv = qkv,
                                        .lse = lse,
                                        .heads = s.heads,
                                        .dropout = dropout(rate)});
  };
}

// The largest of one part of dqkv, and the largest difference.
struct PartError {
  double largest = 0, worst = 0;
};

PartError part_error(const Sizes& s, int part, const std::vector<double>& found,
                     const std::vector<double>& exact) {
  PartError error;
  const auto dim = static_cast<std::size_t>(s.dim());
  for (std::size_t i = 0; i < exact.size(); ++i) {
    if (i / dim % 3 != static_cast<std::size_t>(part)) continue;
    const double difference = std::abs(found[i] - exact[i]);
    error.largest = std::max(error.largest, std::abs(exact[i]));
    error.worst = std::isnan(difference) ? INFINITY : std::max(error.worst, difference);
  }
  return error;
}

// Three roundings lie on the way to dq, dk and dv: of y in delta, of ds or p, and of the result. The last two
// move an element by at most 2^-8 of the sum of its terms' sizes, which as their signs vary is about the
// largest element of that part: twice that is allowed. Delta is a sum of head_dim products dy·y, none
// much beyond 1, each off by 2^-8: times the scale and p that is √head_dim · 2^-8 / tokens.
void check_gradients_of_parts(const Sizes& s, const Values& found, const Values& exact) {
  const double delta = std::sqrt(static_cast<double>(s.head_dim)) / static_cast<double>(s.tokens);
  for (int part : {0, 1, 2}) {
    CAPTURE(part);
    const PartError error = part_error(s, part, found.at("dqkv"), exact.at("dqkv"));
    CHECK(error.worst <= kBf16Roundoff * (2 * error.largest + delta));
  }
}

void check_backward(const Sizes& s, double rate) {
  OpRun exact(*cpu_backend(), DType::f64, {}, true);
  backward(s, rate)(exact);
  if (Backend* cuda = cuda_backend()) {
    shuffle_cuda(1);
    const Values first = results_on(*cuda, DType::bf16, backward(s, rate), {});
    check_gradients_of_parts(s, first, exact.results());
    shuffle_cuda(2);
    CHECK(results_on(*cuda, DType::bf16, backward(s, rate), {}) == first);
    return;
  }
  for (const std::string isa : {"avx2", "avx512", "generic"}) {
    CAPTURE(isa);
    Values first;
    for (int threads : {1, 2, 3, 8}) {
      Backend* backend = cpu_backend({.threads = threads, .isa = isa});
      if (!backend) break;
      OpRun run(*backend, DType::bf16, {});
      backward(s, rate)(run);
      if (threads == 1) first = run.results();
      CHECK(run.results() == first);
    }
    if (!first.empty()) check_gradients_of_parts(s, first, exact.results());
  }
}

TEST_CASE("attention: bf16 backward") {
  for (const Sizes& s : kSizes) {
    CAPTURE(s.tokens);
    check_backward(s, 0);
    check_backward(s, 0.25);
  }
}

TEST_CASE("attention: bf16 with large scores neither overflows nor becomes NaN") {
  Values given;
  for (int i = 0; i < 33 * 24; ++i)
    given["qkv"].push_back(i % 24 < 16 ? 60 * std::sin(i) : std::cos(i));
  OpRun run(*cpu_backend(), DType::bf16, given);
  backward({1, 33, 1, 8}, 0)(run);
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
