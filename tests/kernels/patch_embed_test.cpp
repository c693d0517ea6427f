#include "kernels/patch_embed.h"

#include <doctest/doctest.h>

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

struct Sizes {
  std::int64_t batch, channels, height, width, size, dim;
  std::int64_t patches() const { return (height / size) * (width / size); }
};

Scenario patch_embed(const Sizes& s, bool with_bias) {
  return [=](OpRun& run) {
    const std::int64_t flat = s.channels * s.size * s.size;
    const Shape ws = {s.dim, s.channels, s.size, s.size}, ys = {s.batch, s.patches(), s.dim};
    const In bias = with_bias ? run.wide_input("bias", {s.dim}).in() : In{};
    const Out patches = run.output("patches", {s.batch, s.patches(), flat});
    run.backend().run(
        PatchEmbedForward{.y = run.wide_output("y", ys),
                          .patches = patches,
                          .images = run.wide_input("images", {s.batch, s.channels, s.height, s.width}),
                          .weight = run.input("weight", ws),
                          .bias = bias});
    run.backend().run(
        PatchEmbedBackward{.dweight_acc = run.accumulator("dweight", ws),
                           .dbias_acc = with_bias ? run.accumulator("dbias", {s.dim}).out() : Out{},
                           .dy = run.wide_cotangent("y", ys),
                           .patches = patches});
  };
}

TEST_CASE("patch_embed: the backward is the forward's gradient") {
  for (const Sizes& s : {Sizes{1, 1, 1, 1, 1, 1}, Sizes{2, 3, 8, 12, 4, 5}, Sizes{3, 1, 6, 3, 3, 7}}) {
    check_gradients(patch_embed(s, true), {"weight", "bias"});
    check_gradients(patch_embed(s, false), {"weight"});
  }
}

TEST_CASE("patch_embed: f32, threads and instruction sets") {
  for (const Sizes& s :
       {Sizes{2, 3, 32, 48, 16, 24}, Sizes{3, 1, 28, 28, 4, 33}, Sizes{1, 3, 21, 14, 7, 16}}) {
    check_backends(patch_embed(s, true));
  }
}

TEST_CASE("patch_embed: bf16") {
  // Images and the gradient are rounded on the way: values that bf16 has, so that this changes nothing.
  Values given;
  for (int i = 0; i < 3 * 28 * 28; ++i)
    given["images"].push_back(i * 37 % 255 - 127);
  for (int i = 0; i < 3 * 49 * 33; ++i)
    given["dy"].push_back((i * 11 % 255 - 127) / 64.0);
  check_bf16(patch_embed({3, 1, 28, 28, 4, 33}, true), given);
}

TEST_CASE("patch_embed: a convolution whose stride is its kernel size") {
  const Sizes s = {2, 3, 6, 8, 2, 5};
  OpRun run(*cpu_backend(), DType::f64, {});
  patch_embed(s, true)(run);
  OpRun again(*cpu_backend(), DType::f64, {});
  const auto images = again.input("images", {2, 3, 6, 8}).get();
  const auto weight = again.input("weight", {5, 3, 2, 2}).get();
  const auto bias = again.input("bias", {5}).get();
  const auto y = run.results().at("y");
  std::size_t at = 0;
  for (std::size_t b = 0; b < 2; ++b) {
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t j = 0; j < 4; ++j) {
        for (std::size_t o = 0; o < 5; ++o) {
          double sum = bias[o];
          for (std::size_t c = 0; c < 3; ++c) {
            for (std::size_t k = 0; k < 4; ++k) {
              const std::size_t pixel = ((b * 3 + c) * 6 + 2 * i + k / 2) * 8 + 2 * j + k % 2;
              sum += images[pixel] * weight[(o * 3 + c) * 4 + k];
            }
          }
          CHECK(y[at++] == doctest::Approx(sum).epsilon(1e-13));
        }
      }
    }
  }
}

}  // namespace
}  // namespace vitrail::test
