#include "kernels/attention.h"

#include "tests/support/attention_run.h"

namespace vitrail::test {
namespace {

using Sizes = AttentionSizes;

TEST_CASE("attention: the backward is the forward's gradient") {
  for (const Sizes& s :
       {Sizes{1, 1, 1, 1}, Sizes{2, 5, 3, 4}, Sizes{1, 31, 2, 7}, Sizes{2, 33, 1, 16}, Sizes{1, 197, 2, 3}}) {
    CAPTURE(s.tokens);
    check_gradients(attention_backward(s, 0), {"qkv"});
    check_gradients(attention_backward(s, 0.25), {"qkv"});
  }
}

TEST_CASE("attention: f32, threads and instruction sets") {
  for (const Sizes& s :
       {Sizes{2, 1, 3, 64}, Sizes{2, 31, 3, 20}, Sizes{3, 33, 2, 32}, Sizes{2, 197, 3, 64}}) {
    CAPTURE(s.tokens);
    check_backends(attention_backward(s, 0));
    check_backends(attention_backward(s, 0.1));
  }
}

TEST_CASE("attention: results that the CPU writes past its caches") {
  check_backends(attention_backward({270, 16, 2, 64}, 0));
  check_backends(attention_backward({820, 16, 2, 20}, 0));  // where only some heads begin on a vector
}

// y and lse of one query by the definition.
struct Naive {
  std::vector<double> y;
  double lse = 0;
};

Naive naive_row(const std::vector<double>& qkv, const Sizes& s, const Dropout& drop, std::int64_t b,
                std::int64_t head, std::int64_t query) {
  const std::int64_t dim = s.heads * s.head_dim;
  const auto element = [&](std::int64_t token, int part, std::int64_t d) {
    const std::int64_t at = ((b * s.tokens + token) * 3 + part) * dim + head * s.head_dim + d;
    return qkv[static_cast<std::size_t>(at)];
  };
  Naive row{std::vector<double>(static_cast<std::size_t>(s.head_dim)), 0};
  double sum = 0;
  for (std::int64_t key = 0; key < s.tokens; ++key) {
    double score = 0;
    for (std::int64_t d = 0; d < s.head_dim; ++d)
      score += element(query, 0, d) * element(key, 1, d);
    const double e = std::exp(score / std::sqrt(static_cast<double>(s.head_dim)));
    sum += e;
    const auto number = static_cast<std::uint32_t>((head * s.tokens + query) * s.tokens + key);
    const Random4 random = random4(drop.key, drop.first_sample + static_cast<std::uint32_t>(b), number / 4);
    const double mask = uniform(random[number % 4]) < drop.rate ? 0 : 1 / (1 - drop.rate);
    for (std::int64_t d = 0; d < s.head_dim; ++d) {
      row.y[static_cast<std::size_t>(d)] += e * mask * element(key, 2, d);
    }
  }
  for (double& y : row.y)
    y /= sum;
  row.lse = std::log(sum);
  return row;
}

void check_naive(const Sizes& s, double rate) {
  const std::int64_t dim = s.heads * s.head_dim;
  OpRun run(*cpu_backend(), DType::f64, {});
  attention_backward(s, rate)(run);
  OpRun again(*cpu_backend(), DType::f64, {});
  const std::vector<double> qkv = again.input("qkv", {s.batch, s.tokens, 3 * dim}).get();
  const Values results = run.results();
  double worst = 0;
  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t head = 0; head < s.heads; ++head) {
      for (std::int64_t query = 0; query < s.tokens; ++query) {
        const Naive row = naive_row(qkv, s, attention_dropout(rate), b, head, query);
        const auto at = static_cast<std::size_t>((b * s.tokens + query) * dim + head * s.head_dim);
        const auto lse_at = static_cast<std::size_t>((b * s.heads + head) * s.tokens + query);
        worst = std::max(worst, std::abs(results.at("lse")[lse_at] - row.lse));
        for (std::size_t d = 0; d < row.y.size(); ++d) {
          worst = std::max(worst, std::abs(results.at("y")[at + d] - row.y[d]));
        }
      }
    }
  }
  CHECK(worst <= 1e-13);
}

TEST_CASE("attention: the definition, written out") {
  for (double rate : {0.0, 0.3}) {
    check_naive({2, 1, 2, 8}, rate);
    check_naive({2, 33, 3, 5}, rate);
    check_naive({1, 197, 2, 16}, rate);
  }
}

TEST_CASE("attention: large scores neither overflow nor become NaN") {
  const Sizes s = {1, 33, 1, 8};
  Values given;
  for (int i = 0; i < 33 * 24; ++i)
    given["qkv"].push_back(i % 24 < 16 ? 60 * std::sin(i) : std::cos(i));
  OpRun run(*cpu_backend(), DType::f32, given);
  attention_backward(s, 0)(run);
  const Values results = run.results();
  for (const char* name : {"y", "lse", "dqkv"}) {
    for (double value : results.at(name))
      CHECK(std::isfinite(value));
  }
  for (double value : results.at("y"))
    CHECK(std::abs(value) <= 1.0 + 1e-6);
}

}  // namespace
}  // namespace vitrail::test
