// What is the cuda device's own: exact masks, head sizes, refusals. The ops themselves are tested in
// tests/kernels, by the bodies that test the CPU.

#include <doctest/doctest.h>

#include "kernels/error.h"
#include "tests/support/attention_run.h"
#include "tests/support/gradient.h"
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
  for (const Shape& shape : {Shape{3, 5, 8}, Shape{2, 31}, Shape{1, 257, 3}}) {
    for (const DType dtype : {DType::f32, DType::bf16})
      CHECK(results_on(*cuda_backend(), dtype, dropped(shape), {}) ==
            results_on(*cpu_backend(), dtype, dropped(shape), {}));
  }
}

// GELU in place from the second number on: nothing is aligned to more than two bytes.
std::vector<double> gelu_of_unaligned(Backend& backend, std::int64_t count) {
  const Tensor all(backend, DType::bf16, {count + 1}, random_values(8, static_cast<std::size_t>(count + 1)));
  const Out part{all.out().as<std::uint16_t>() + 1, DType::bf16, {1, 1, count}};
  backend.run(GeluForward{.y = part, .pre = part, .gelu = GeluKind::tanh, .dropout = {}});
  CHECK(all.guards_are_whole());
  return all.get();
}

TEST_CASE("cuda: numbers of bf16 that begin anywhere") {
  for (std::int64_t count : {1, 31, 64})
    check_close("gelu", gelu_of_unaligned(*cuda_backend(), count), gelu_of_unaligned(*cpu_backend(), count),
                kBf16Roundoff);
}

// f32 → bf16 → f32, with what rounds in every way.
std::vector<double> through_bf16(Backend& backend, const std::vector<double>& values) {
  const Shape shape = {static_cast<std::int64_t>(values.size())};
  const Tensor from(backend, DType::f32, shape, values), rounded(backend, DType::bf16, shape),
      back(backend, DType::f32, shape);
  backend.run(Cast{.y = rounded, .x = from});
  backend.run(Cast{.y = back, .x = rounded});
  return back.get();
}

TEST_CASE("cuda: casts round as the CPU's do") {
  for (std::size_t count : {8, 31}) {
    std::vector<double> values = {0, -1, 1.00390625, 1.01171875, 3.4e38, -1e-40, 65536.5, 1e-3};
    for (std::size_t i = values.size(); i < count; ++i)
      values.push_back(random_value(3, static_cast<std::uint32_t>(i)));
    CHECK(through_bf16(*cuda_backend(), values) == through_bf16(*cpu_backend(), values));
  }
}

// Two segments with a gap, of which one begins on an odd element.
const std::vector<AdamSegment> kTwoSegments = {{0, 512, 1, 0.05}, {515, 1037, 0.5, 0.2}};

// More than one launch takes, all of whole packs of four.
std::vector<AdamSegment> many_segments() {
  std::vector<AdamSegment> segments;
  for (std::int64_t i = 0; i < 100; ++i)
    segments.push_back({10 * i / 4 * 4, 10 * i / 4 * 4 + 4, 1 + 0.01 * static_cast<double>(i), 0.1});
  return segments;
}

Values updated(Backend& backend, AdamKind kind, const std::vector<AdamSegment>& segments) {
  constexpr std::int64_t kCount = 1037;
  const Shape shape = {kCount};
  const auto random = [](std::uint64_t stream) { return random_values(stream, kCount); };
  std::vector<double> squares = random(4);
  for (double& square : squares)
    square *= square;
  const Tensor weight(backend, DType::f32, shape, random(1)), grad(backend, DType::f32, shape, random(2)),
      first(backend, DType::f32, shape, random(3)), second(backend, DType::f32, shape, squares),
      ema(backend, DType::f32, shape, random(5)), norm(backend, DType::f64, {1}),
      rounded(backend, DType::bf16, shape, random(6));
  backend.run(GradNorm{.norm = norm, .grad = grad});
  backend.run(AdamStep{.weight = weight,
                       .first_moment = first,
                       .second_moment = second,
                       .weight_bf16 = rounded,
                       .ema = ema,
                       .grad = grad,
                       .grad_norm = norm,
                       .segments = segments,
                       .kind = kind,
                       .step = 3,
                       .lr = 0.01,
                       .max_norm = 1,
                       .ema_decay = 0.9});
  for (const Tensor* tensor : {&weight, &first, &second, &ema, &rounded})
    CHECK(tensor->guards_are_whole());
  return {{"weight", weight.get()}, {"first", first.get()}, {"second", second.get()},
          {"ema", ema.get()},       {"norm", norm.get()},   {"rounded", rounded.get()}};
}

TEST_CASE("cuda: an update of Adam and AdamW, with clipping, EMA and rounded weights") {
  for (AdamKind kind : {AdamKind::adam, AdamKind::adamw}) {
    check_close(updated(*cuda_backend(), kind, many_segments()),
                updated(*cpu_backend(), kind, many_segments()), 1.0 / 128);
    Values cuda = updated(*cuda_backend(), kind, kTwoSegments),
           cpu = updated(*cpu_backend(), kind, kTwoSegments);
    // Weights that differ in the last bit may round apart: these are the device's own, rounded.
    CHECK(cuda["rounded"][600] == through_bf16(*cpu_backend(), {cuda["weight"][600]})[0]);
    for (std::size_t i = 512; i < 515; ++i)
      CHECK(cuda["rounded"][i] == cpu["rounded"][i]);  // between the segments: not touched
    check_close("rounded", cuda["rounded"], cpu["rounded"], 1.0 / 128);
    cuda.erase("rounded");
    cpu.erase("rounded");
    check_close(cuda, cpu, 1e-6);
  }
}

TEST_CASE("cuda: a GPU is chosen by its number, or the first where any will do") {
  CHECK(make_backend("cuda:0")->info().name == cuda_backend()->info().name);
  CHECK(make_backend("auto")->info().device == "cuda");
  CHECK_THROWS_WITH_AS(make_backend("cuda:999"), doctest::Contains("number 999 of"), Error);
}

TEST_CASE("cuda: what the device does not have is refused by name") {
  CHECK_THROWS_AS(results_on(*cuda_backend(), DType::f32, attention_backward({1, 4, 1, 130}, 0), {}), Error);
  CHECK_THROWS_AS(results_on(*cuda_backend(), DType::f64, dropped({2, 4}), {}), Error);
}

}  // namespace
}  // namespace vitrail::test
