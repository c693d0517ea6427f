#include "kernels/tokens.h"

#include <doctest/doctest.h>

#include "tests/support/gradient.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

struct Prefix {
  bool cls = false, dist = false;
  std::int64_t registers = 0;
  bool patches_only = false;  // pos_embed has rows for patches only
  std::int64_t rows() const { return cls + dist + registers; }
};

Scenario embed(std::int64_t batch, std::int64_t patches, std::int64_t dim, const Prefix& p) {
  return [=](OpRun& run) {
    const auto token = [&](const char* name, std::int64_t rows) {
      return rows > 0 ? run.input(name, {1, rows, dim}).in() : In{};
    };
    const auto gradient = [&](const char* name, std::int64_t rows) {
      return rows > 0 ? run.accumulator(name, {1, rows, dim}).out() : Out{};
    };
    const Shape all = {batch, p.rows() + patches, dim}, some = {batch, patches, dim};
    const Shape positions = {1, p.patches_only ? patches : p.rows() + patches, dim};
    run.backend().run(EmbedTokensForward{.x = run.output("x", all),
                                         .patches = run.input("patches", some),
                                         .cls_token = token("cls", p.cls),
                                         .dist_token = token("dist", p.dist),
                                         .reg_token = token("reg", p.registers),
                                         .pos_embed = run.input("pos", positions)});
    run.backend().run(EmbedTokensBackward{.dpatches = run.output("dpatches", some),
                                          .dcls_token_acc = gradient("dcls", p.cls),
                                          .ddist_token_acc = gradient("ddist", p.dist),
                                          .dreg_token_acc = gradient("dreg", p.registers),
                                          .dpos_embed_acc = run.accumulator("dpos", positions),
                                          .dx = run.cotangent("x", all)});
  };
}

TEST_CASE("embed_tokens: the backward is the forward's gradient") {
  for (bool patches_only : {false, true}) {
    check_gradients(embed(3, 4, 5, {.patches_only = patches_only}), {"patches", "pos"});
    check_gradients(embed(2, 1, 3, {.cls = true, .patches_only = patches_only}), {"patches", "cls", "pos"});
    check_gradients(embed(3, 4, 5, {true, true, 3, patches_only}), {"patches", "cls", "dist", "reg", "pos"});
  }
}

TEST_CASE("embed_tokens: f32, threads and instruction sets") {
  check_backends(embed(3, 196, 96, {.cls = true}));
  check_backends(embed(2, 31, 33, {true, true, 4, true}));
}

TEST_CASE("embed_tokens: the order is cls, dist, registers, patches") {
  const Values given = {{"cls", {1}}, {"dist", {2}}, {"reg", {3, 4}}, {"patches", {5, 6, 7, 8}}};
  Values with_positions = given;
  with_positions["pos"] = {10, 20, 30, 40, 50, 60};
  CHECK(reference_results(embed(2, 2, 1, {true, true, 2, false}), with_positions).at("x") ==
        std::vector<double>{11, 22, 33, 44, 55, 66, 11, 22, 33, 44, 57, 68});
  with_positions["pos"] = {50, 60};
  CHECK(reference_results(embed(2, 2, 1, {true, true, 2, true}), with_positions).at("x") ==
        std::vector<double>{1, 2, 3, 4, 55, 66, 1, 2, 3, 4, 57, 68});
}

Scenario slice(std::int64_t batch, std::int64_t tokens, std::int64_t dim, std::int64_t first,
               std::int64_t count) {
  return [=](OpRun& run) {
    const Shape xs = {batch, tokens, dim}, ys = {batch, count, dim};
    run.backend().run(SliceTokensForward{.y = run.output("y", ys), .x = run.input("x", xs), .first = first});
    run.backend().run(SliceTokensBackward{
        .dx_acc = run.accumulator("dx", xs), .dy = run.cotangent("y", ys), .first = first});
  };
}

void check_slices_in_bf16(Backend& backend) {
  const Tensor x(backend, DType::bf16, {1, 3, 2}, {1, 2, 3, 4, 5, 6}), y(backend, DType::bf16, {1, 2, 2});
  backend.run(SliceTokensForward{.y = y, .x = x, .first = 1});
  CHECK(y.get() == std::vector<double>{3, 4, 5, 6});
  const Tensor dy(backend, DType::bf16, {1, 2, 2}, {256, 1, -1, 0x1p-9});
  backend.run(SliceTokensBackward{.dx_acc = x, .dy = dy, .first = 1});
  CHECK(x.get() == std::vector<double>{1, 2, 260, 5, 4, 6});  // 259 and 6 + 2^-9 are rounded
  CHECK(x.guards_are_whole());
}

// The last tokens of (2, 33, dim), and added to them again.
std::vector<double> sliced_in_bf16(Backend& backend, std::int64_t dim) {
  const Shape xs = {2, 33, dim}, ys = {2, 7, dim};
  const Tensor x(backend, DType::bf16, xs, random_values(1, static_cast<std::size_t>(xs.elements())));
  const Tensor y(backend, DType::bf16, ys);
  backend.run(SliceTokensForward{.y = y, .x = x, .first = 26});
  backend.run(SliceTokensBackward{.dx_acc = x, .dy = y, .first = 26});
  CHECK(x.guards_are_whole());
  CHECK(y.guards_are_whole());
  std::vector<double> values = x.get();
  const std::vector<double> slice = y.get();
  values.insert(values.end(), slice.begin(), slice.end());
  return values;
}

TEST_CASE("slice_tokens: bf16") {
  check_slices_in_bf16(*cpu_backend());
  if (cuda_backend() == nullptr) return;
  check_slices_in_bf16(*cuda_backend());
  for (std::int64_t dim : {31, 64})
    CHECK(sliced_in_bf16(*cuda_backend(), dim) == sliced_in_bf16(*cpu_backend(), dim));
}

TEST_CASE("slice_tokens: gradients, backends, and which tokens") {
  check_gradients(slice(3, 5, 4, 0, 1), {"x"});
  check_gradients(slice(3, 5, 4, 2, 3), {"x"});
  check_backends(slice(3, 197, 192, 1, 196));
  check_backends(slice(2, 33, 31, 0, 1));
  const Values given = {{"x", {1, 2, 3, 4, 5, 6}}};
  CHECK(reference_results(slice(2, 3, 1, 1, 2), given).at("y") == std::vector<double>{2, 3, 5, 6});
}

Scenario mean(std::int64_t batch, std::int64_t tokens, std::int64_t dim, std::int64_t first) {
  return [=](OpRun& run) {
    const Shape xs = {batch, tokens, dim}, ys = {batch, 1, dim};
    run.backend().run(MeanTokensForward{.y = run.output("y", ys), .x = run.input("x", xs), .first = first});
    run.backend().run(MeanTokensBackward{
        .dx_acc = run.accumulator("dx", xs), .dy = run.cotangent("y", ys), .first = first});
  };
}

TEST_CASE("mean_tokens: gradients, backends, and which tokens") {
  check_gradients(mean(3, 5, 4, 0), {"x"});
  check_gradients(mean(2, 31, 3, 5), {"x"});
  check_gradients(mean(2, 2, 3, 1), {"x"});
  check_backends(mean(3, 197, 192, 1));
  check_backends(mean(2, 33, 31, 0));
  const Values given = {{"x", {1, 2, 4, 10, 20, 60}}};
  CHECK(reference_results(mean(2, 3, 1, 1), given).at("y") == std::vector<double>{3, 40});
}

}  // namespace
}  // namespace vitrail::test
