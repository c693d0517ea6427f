#include "kernels/quantize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/error.h"
#include "kernels/linear.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

// On the host, as the CPU backend takes them.
struct Rows {
  std::int64_t rows, cols;
  std::vector<float> x;
  std::vector<std::int8_t> y;
  std::vector<float> scale, sum;

  Rows(std::int64_t down, std::int64_t across)
      : rows(down),
        cols(across),
        x(std::size_t(down * across)),
        y(x.size(), 99),
        scale(std::size_t(down)),
        sum(std::size_t(down)) {
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = std::sin(float(7 * i + 1)) * float(1 + i % 5);
  }
  void quantize(Backend& backend) {
    backend.run(QuantizeRows{.y = {y.data(), DType::int8, {rows, cols}},
                             .scale = {scale.data(), DType::f32, {rows}},
                             .sum = {sum.data(), DType::f32, {rows}},
                             .x = {x.data(), DType::f32, {rows, cols}}});
  }
  In weight() const { return {y.data(), DType::int8, {rows, cols}}; }
  QuantizedRows quantized() const {
    return {In{scale.data(), DType::f32, {rows}}, In{sum.data(), DType::f32, {rows}}};
  }
  double value(std::int64_t row, std::int64_t col) const {
    return double(scale[std::size_t(row)]) * y[std::size_t(row * cols + col)];
  }
};

// y = x · weightᵀ + bias with rows of x between −2 and 3.
struct Layer {
  std::int64_t rows;
  std::vector<float> x, y, bias;

  Layer(std::int64_t count, const Rows& weight)
      : rows(count),
        x(std::size_t(count * weight.cols)),
        y(std::size_t(count * weight.rows)),
        bias(std::size_t(weight.rows), 0.5f) {
    for (std::size_t i = 0; i < x.size(); ++i)
      x[i] = 2.5f * std::cos(float(3 * i)) + 0.5f;
  }
  void run(Backend& backend, const Rows& weight) {
    backend.run(LinearForward{.y = {y.data(), DType::f32, {1, rows, weight.rows}},
                              .x = {x.data(), DType::f32, {1, rows, weight.cols}},
                              .weight = weight.weight(),
                              .bias = {bias.data(), DType::f32, {weight.rows}},
                              .quantized = weight.quantized()});
  }
};

struct Range {
  double low, high;
};
Range range_of(const float* row, std::int64_t count) {
  Range range{row[0], row[0]};
  for (std::int64_t i = 0; i < count; ++i)
    range = {std::fmin(range.low, row[i]), std::fmax(range.high, row[i])};
  return range;
}

// Of one instruction set: another may add in one rounding what this one adds in two.
const std::vector<BackendOptions> kProducts = {{.threads = 1},
                                               {.threads = 3},
                                               {.threads = 8},
                                               {.threads = 2, .gemm = "eigen"},
                                               {.threads = 2, .gemm = "onednn"}};

TEST_CASE("quantize: half a step off at most, the largest number at the limit") {
  Backend& backend = *cpu_backend();
  for (const std::int64_t cols : {1, 7, 31, 64, 257}) {
    Rows rows(5, cols);
    rows.quantize(backend);
    for (std::int64_t r = 0; r < 5; ++r) {
      const float* x = rows.x.data() + r * cols;
      const Range range = range_of(x, cols);
      const double scale = rows.scale[std::size_t(r)];
      const double limit = std::fmax(-range.low, range.high) / scale;
      CHECK((limit == doctest::Approx(127) || limit == doctest::Approx(64)));
      double sum = 0;
      for (std::int64_t c = 0; c < cols; ++c) {
        CHECK(std::fabs(rows.value(r, c) - x[c]) <= 0.5001 * scale);
        sum += rows.y[std::size_t(r * cols + c)];
      }
      CHECK(rows.sum[std::size_t(r)] == sum);
    }
  }
}

TEST_CASE("quantize: a row of zeros, and one that is no number") {
  Rows rows(3, 40);
  for (std::size_t i = 0; i < 40; ++i)
    rows.x[i] = 0;
  rows.x[41] = std::numeric_limits<float>::quiet_NaN();
  rows.x[82] = std::numeric_limits<float>::infinity();
  rows.quantize(*cpu_backend());
  CHECK(rows.scale[0] == 0);
  CHECK(rows.sum[0] == 0);
  CHECK(std::isnan(rows.scale[1]));
  CHECK_FALSE(std::isfinite(rows.scale[2]));
}

TEST_CASE("linear in int8: within what the steps of x can be off, the same bits by every product") {
  for (const std::int64_t tokens : {1, 31, 33, 197, 257}) {
    Rows weight(390, 97);
    weight.quantize(*cpu_backend());
    Layer first(tokens, weight);
    first.run(*cpu_backend(), weight);
    for (std::int64_t r = 0; r < tokens; ++r) {
      const float* x = first.x.data() + r * weight.cols;
      const Range range = range_of(x, weight.cols);
      const double half_step = (range.high - range.low) / 255 / 2;
      for (std::int64_t o = 0; o < weight.rows; ++o) {
        double expected = 0.5, magnitude = 0;
        for (std::int64_t i = 0; i < weight.cols; ++i) {
          expected += x[i] * weight.value(o, i);
          magnitude += std::fabs(weight.value(o, i));
        }
        const double y = first.y[std::size_t(r * weight.rows + o)];
        REQUIRE(std::fabs(y - expected) <= magnitude * (half_step * 1.0001 + 1e-5));
      }
    }
    for (const BackendOptions& options : kProducts) {
      Backend* backend = cpu_backend(options);
      if (backend == nullptr) continue;
      Layer again(tokens, weight);
      again.run(*backend, weight);
      CHECK((again.y == first.y));
    }
  }
}

// Of AVX2, which every processor has: products of bytes of our own, and plain ones.
const BackendOptions kOwn = {.threads = 1, .gemm = "vitrail", .isa = "avx2"};
const BackendOptions kOwnOfThree = {.threads = 3, .gemm = "vitrail", .isa = "avx2"};
const BackendOptions kPlain = {.threads = 2, .gemm = "eigen", .isa = "avx2"};

TEST_CASE("linear in int8: our own product adds up as the plain one does") {
  if (cpu_backend(kOwn) == nullptr) return;  // this build is not for x86
  for (const std::int64_t cols : {4, 64, 100, 1540, 3072}) {
    for (const std::int64_t tokens : {1, 5, 99, 197}) {
      Rows weight(cols == 100 ? 390 : 33, cols);
      weight.quantize(*cpu_backend(kOwn));
      Layer own(tokens, weight), of_three(tokens, weight), plain(tokens, weight);
      own.run(*cpu_backend(kOwn), weight);
      of_three.run(*cpu_backend(kOwnOfThree), weight);
      plain.run(*cpu_backend(kPlain), weight);
      CHECK((own.y == plain.y));
      CHECK((of_three.y == plain.y));
    }
  }
}

TEST_CASE("linear in int8: the largest numbers add up exactly") {
  for (Backend* backend : {cpu_backend(), cpu_backend(kOwn)}) {
    if (backend == nullptr) continue;
    Rows weight(16, 4096);
    for (float& w : weight.x)
      w = 3;
    weight.quantize(*backend);
    Layer layer(2, weight);
    for (float& x : layer.x)
      x = 5;
    layer.x[0] = layer.x[4096] = 0;  // so that the others are 255 steps
    layer.run(*backend, weight);
    for (const float y : layer.y)
      CHECK(y == doctest::Approx(15.0 * 4095 + 0.5).epsilon(1e-6));
  }
}

TEST_CASE("linear in int8: rows of equal numbers, and no number in, none out") {
  Rows weight(8, 33);
  weight.quantize(*cpu_backend());
  Layer layer(2, weight);
  for (std::size_t i = 0; i < 33; ++i)
    layer.x[i] = 7;
  layer.x[40] = std::numeric_limits<float>::quiet_NaN();
  layer.run(*cpu_backend(), weight);
  for (std::size_t o = 0; o < 8; ++o) {
    const double expected = 7.0 * weight.scale[o] * weight.sum[o] + 0.5;
    CHECK(layer.y[o] == doctest::Approx(expected).epsilon(1e-6));
    CHECK(std::isnan(layer.y[8 + o]));
  }
}

TEST_CASE("linear in int8: GELU and residual are those of f32 on the same sums") {
  Rows weight(70, 45);
  weight.quantize(*cpu_backend());
  Layer plain(37, weight);
  plain.run(*cpu_backend(), weight);
  std::vector<float> gelu(plain.y.size()), sum(plain.y.size()), residual(plain.y.size(), 2);
  const Shape ys{1, 37, 70}, xs{1, 37, 45};
  cpu_backend()->run(LinearGeluForward{.y = {gelu.data(), DType::f32, ys},
                                       .pre = {},
                                       .x = {plain.x.data(), DType::f32, xs},
                                       .weight = weight.weight(),
                                       .bias = {plain.bias.data(), DType::f32, {70}},
                                       .dropout = {},
                                       .quantized = weight.quantized()});
  cpu_backend()->run(LinearResidualForward{.y = {sum.data(), DType::f32, ys},
                                           .branch = {},
                                           .residual = {residual.data(), DType::f32, ys},
                                           .x = {plain.x.data(), DType::f32, xs},
                                           .weight = weight.weight(),
                                           .bias = {plain.bias.data(), DType::f32, {70}},
                                           .gamma = {},
                                           .dropout = {},
                                           .drop_path = {},
                                           .quantized = weight.quantized()});
  for (std::size_t i = 0; i < plain.y.size(); ++i) {
    const double x = plain.y[i];
    CHECK(gelu[i] == doctest::Approx(x / 2 * (1 + std::erf(x / std::sqrt(2)))).epsilon(1e-4));
    CHECK(sum[i] == doctest::Approx(2 + x).epsilon(1e-6));
  }
}

TEST_CASE("linear in int8: what goes with the weight must be there and fit") {
  Rows weight(4, 6);
  weight.quantize(*cpu_backend());
  Layer layer(2, weight);
  LinearForward op{.y = {layer.y.data(), DType::f32, {1, 2, 4}},
                   .x = {layer.x.data(), DType::f32, {1, 2, 6}},
                   .weight = weight.weight(),
                   .bias = {}};
  CHECK_THROWS_WITH_AS(op.check(), doctest::Contains("weight: expected (4, 6) f32"), Error);
  op.quantized = {weight.quantized().scale, {}};
  CHECK_THROWS_WITH_AS(op.check(), doctest::Contains("quantized.sum"), Error);
  op.quantized = weight.quantized();
  op.check();
  op.weight.dtype = DType::f32;
  CHECK_THROWS_WITH_AS(op.check(), doctest::Contains("int8"), Error);
}

}  // namespace
}  // namespace vitrail::test
