#pragma once
// Attention's forward and backward as scenarios of any size, and how near gradients in bf16 must be.

#include <doctest/doctest.h>

#include <cmath>

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {

struct AttentionSizes {
  std::int64_t batch, tokens, heads, head_dim;
  std::int64_t dim() const { return heads * head_dim; }
};

inline Dropout attention_dropout(double rate) {
  return {.rate = rate,
          .key = {.seed = 3, .purpose = Purpose::attn_drop, .layer = 1, .step = 9},
          .first_sample = 4};
}

inline Scenario attention_forward(const AttentionSizes& s, double rate) {
  return [=](OpRun& run) {
    run.backend().run(AttentionForward{.y = run.output("y", {s.batch, s.tokens, s.dim()}),
                                       .lse = run.wide_output("lse", {s.batch, s.heads, s.tokens}),
                                       .qkv = run.input("qkv", {s.batch, s.tokens, 3 * s.dim()}),
                                       .heads = s.heads,
                                       .dropout = attention_dropout(rate)});
  };
}

inline Scenario attention_backward(const AttentionSizes& s, double rate) {
  return [=](OpRun& run) {
    const Shape wide = {s.batch, s.tokens, 3 * s.dim()}, narrow = {s.batch, s.tokens, s.dim()};
    const In qkv = run.input("qkv", wide);
    const Out y = run.output("y", narrow), lse = run.wide_output("lse", {s.batch, s.heads, s.tokens});
    const Dropout dropout = attention_dropout(rate);
    run.backend().run(AttentionForward{.y = y, .lse = lse, .qkv = qkv, .heads = s.heads, .dropout = dropout});
    run.backend().run(AttentionBackward{.dqkv = run.output("dqkv", wide),
                                        .dy = run.cotangent("y", narrow),
                                        .y = y,
                                        .qkv = qkv,
                                        .lse = lse,
                                        .heads = s.heads,
                                        .dropout = dropout});
  };
}

// The largest of one part of dqkv, and the largest difference.
struct PartError {
  double largest = 0, worst = 0;
};

inline PartError part_error(const AttentionSizes& s, int part, const std::vector<double>& found,
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
inline void check_bf16_attention_gradients(const AttentionSizes& s, const Values& found,
                                           const Values& exact) {
  const double delta = std::sqrt(static_cast<double>(s.head_dim)) / static_cast<double>(s.tokens);
  for (int part : {0, 1, 2}) {
    CAPTURE(part);
    const PartError error = part_error(s, part, found.at("dqkv"), exact.at("dqkv"));
    CHECK(error.worst <= kBf16Roundoff * (2 * error.largest + delta));
  }
}

}  // namespace vitrail::test
