// The contracts of all ops: what is refused, and that the message names op and operand.
#include "kernels/check.h"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/error.h"

namespace vitrail::test {
namespace {

constexpr DType kF32 = DType::f32;

// A view of no memory in particular: contracts never look at elements.
Out view(const Shape& shape, DType dtype = kF32) {
  static double memory = 0;
  return {&memory, dtype, shape};
}

// What check() says; empty when it accepts.
template <class Op>
std::string complaint(const Op& op) {
  try {
    op.check();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void check_names(const std::string& message, const std::string& op, const std::string& operand) {
  CAPTURE(message);
  CAPTURE(operand);
  CHECK(message.starts_with(op + ": "));
  CHECK(message.find(operand) != std::string::npos);
  CHECK(message.find("expected ") != std::string::npos);
  CHECK(message.find("found ") != std::string::npos);
}

enum class Role {
  source,     // others get their shape from it, so that a complaint may be about them
  follower,   // its shape and dtype follow from others
  optional_,  // a follower that may be absent
  paired,     // a follower that is present or absent together with others
};

// Breaks one operand of a valid op in every way.
template <class Op, class View>
void check_operand(const Op& valid, View Op::*member, const std::string& name, Role role) {
  REQUIRE(complaint(valid) == "");
  const std::string in_message = role == Role::source ? "" : name;
  Op broken = valid;
  (broken.*member).shape.dims[0] += 1;
  check_names(complaint(broken), Op::kName, in_message);
  broken = valid;
  (broken.*member).dtype = (valid.*member).dtype == DType::f64 ? DType::f32 : DType::f64;
  check_names(complaint(broken), Op::kName, in_message);
  broken = valid;
  (broken.*member).shape = {2, 2, 2, 2};
  check_names(complaint(broken), Op::kName, in_message);
  broken = valid;
  broken.*member = {};
  if (role == Role::optional_) {
    CHECK(complaint(broken) == "");
  } else {
    check_names(complaint(broken), Op::kName, name);
  }
}

template <class Op>
void check_dropout(const Op& valid, Dropout Op::*member, const std::string& name) {
  for (double rate : {-0.1, 1.0, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    Op broken = valid;
    (broken.*member).rate = rate;
    check_names(complaint(broken), Op::kName, name);
  }
  Op broken = valid;
  (broken.*member).key.layer = 65536;
  check_names(complaint(broken), Op::kName, name);
}

TEST_CASE("check: the message says what was expected and what was found") {
  LinearForward op{
      .y = view({2, 197, 768}), .x = view({2, 197, 192}), .weight = view({192, 768}), .bias = {}};
  CHECK(complaint(op) == "linear_forward: weight: expected (768, 192) f32, found (192, 768) f32");
  op.weight = {};
  CHECK(complaint(op) == "linear_forward: weight: expected (768, 192) f32, found nothing");
}

TEST_CASE("check: linear") {
  const Out x = view({2, 3, 5}), y = view({2, 3, 7}), weight = view({7, 5}), bias = view({7});
  const LinearForward forward{.y = y, .x = x, .weight = weight, .bias = bias};
  check_operand(forward, &LinearForward::x, "x", Role::source);
  check_operand(forward, &LinearForward::y, "y", Role::source);
  check_operand(forward, &LinearForward::weight, "weight", Role::follower);
  check_operand(forward, &LinearForward::bias, "bias", Role::optional_);
  const LinearBackward backward{
      .dx = x, .dweight_acc = weight, .dbias_acc = bias, .dy = y, .x = x, .weight = weight};
  check_operand(backward, &LinearBackward::x, "x", Role::source);
  check_operand(backward, &LinearBackward::dy, "dy", Role::source);
  check_operand(backward, &LinearBackward::dx, "dx", Role::optional_);
  check_operand(backward, &LinearBackward::weight, "weight", Role::follower);
  check_operand(backward, &LinearBackward::dweight_acc, "dweight_acc", Role::follower);
  check_operand(backward, &LinearBackward::dbias_acc, "dbias_acc", Role::optional_);
}

TEST_CASE("check: linear_gelu") {
  const Out x = view({2, 3, 5}), y = view({2, 3, 7});
  const LinearGeluForward op{
      .y = y, .pre = y, .x = x, .weight = view({7, 5}), .bias = view({7}), .gelu = {}, .dropout = {}};
  check_operand(op, &LinearGeluForward::x, "x", Role::source);
  check_operand(op, &LinearGeluForward::y, "y", Role::source);
  check_operand(op, &LinearGeluForward::pre, "pre", Role::optional_);
  check_operand(op, &LinearGeluForward::weight, "weight", Role::follower);
  check_operand(op, &LinearGeluForward::bias, "bias", Role::optional_);
  check_dropout(op, &LinearGeluForward::dropout, "dropout");
}

TEST_CASE("check: gelu") {
  const GeluForward op{.y = view({2, 3, 7}), .pre = view({2, 3, 7}), .gelu = {}, .dropout = {}};
  check_operand(op, &GeluForward::pre, "pre", Role::source);
  check_operand(op, &GeluForward::y, "y", Role::follower);
  check_dropout(op, &GeluForward::dropout, "dropout");
}

TEST_CASE("check: linear_residual_forward") {
  using Op = LinearResidualForward;
  const Out x = view({2, 3, 5}), y = view({2, 3, 7});
  const Op op{.y = y,
              .branch = y,
              .residual = y,
              .x = x,
              .weight = view({7, 5}),
              .bias = view({7}),
              .gamma = view({7}),
              .dropout = {},
              .drop_path = {}};
  check_operand(op, &Op::x, "x", Role::source);
  check_operand(op, &Op::y, "y", Role::source);
  check_operand(op, &Op::branch, "branch", Role::optional_);
  check_operand(op, &Op::residual, "residual", Role::follower);
  check_operand(op, &Op::weight, "weight", Role::follower);
  check_operand(op, &Op::bias, "bias", Role::optional_);
  check_operand(op, &Op::gamma, "gamma", Role::paired);  // a branch is kept for gamma's gradient
  check_dropout(op, &Op::dropout, "dropout");
  check_dropout(op, &Op::drop_path, "drop_path");
  Op plain = op;
  plain.branch = {};
  plain.gamma = {};
  CHECK(complaint(plain) == "");
}

TEST_CASE("check: linear_residual_backward") {
  using Op = LinearResidualBackward;
  const Out x = view({2, 3, 5}), y = view({2, 3, 7}), weight = view({7, 5}), out = view({7});
  const Op op{.dx = x,
              .dbranch = y,
              .dweight_acc = weight,
              .dbias_acc = out,
              .dgamma_acc = out,
              .dy = y,
              .branch = y,
              .x = x,
              .weight = weight,
              .gamma = out,
              .dropout = {},
              .drop_path = {},
              .gelu_pre = x,
              .gelu = {},
              .gelu_dropout = {}};
  check_operand(op, &Op::x, "x", Role::source);
  check_operand(op, &Op::dy, "dy", Role::source);
  check_operand(op, &Op::dx, "dx", Role::follower);
  check_operand(op, &Op::dbranch, "dbranch", Role::follower);
  check_operand(op, &Op::dweight_acc, "dweight_acc", Role::follower);
  check_operand(op, &Op::weight, "weight", Role::follower);
  check_operand(op, &Op::dbias_acc, "dbias_acc", Role::optional_);
  check_operand(op, &Op::dgamma_acc, "dgamma_acc", Role::paired);
  check_operand(op, &Op::branch, "branch", Role::paired);
  check_operand(op, &Op::gamma, "gamma", Role::paired);
  check_operand(op, &Op::gelu_pre, "gelu_pre", Role::optional_);
  check_dropout(op, &Op::dropout, "dropout");
  check_dropout(op, &Op::drop_path, "drop_path");
  check_dropout(op, &Op::gelu_dropout, "gelu_dropout");
  Op plain = op;
  plain.branch = {};
  plain.gamma = {};
  plain.dgamma_acc = {};
  CHECK(complaint(plain) == "");
}

TEST_CASE("check: layernorm") {
  const Out x = view({2, 3, 5}), cols = view({5}), rows = view({2, 3});
  using Forward = LayerNormForward;
  const Forward forward{.y = x, .mean = rows, .rstd = rows, .x = x, .weight = cols, .bias = cols};
  check_operand(forward, &Forward::x, "x", Role::source);
  check_operand(forward, &Forward::y, "y", Role::follower);
  check_operand(forward, &Forward::mean, "mean", Role::follower);
  check_operand(forward, &Forward::rstd, "rstd", Role::follower);
  check_operand(forward, &Forward::weight, "weight", Role::follower);
  check_operand(forward, &Forward::bias, "bias", Role::follower);
  using Backward = LayerNormBackward;
  const Backward backward{.dx_acc = x,
                          .dweight_acc = cols,
                          .dbias_acc = cols,
                          .dy = x,
                          .x = x,
                          .weight = cols,
                          .mean = rows,
                          .rstd = rows};
  check_operand(backward, &Backward::x, "x", Role::source);
  check_operand(backward, &Backward::dx_acc, "dx_acc", Role::follower);
  check_operand(backward, &Backward::dweight_acc, "dweight_acc", Role::follower);
  check_operand(backward, &Backward::dbias_acc, "dbias_acc", Role::follower);
  check_operand(backward, &Backward::dy, "dy", Role::follower);
  check_operand(backward, &Backward::weight, "weight", Role::follower);
  check_operand(backward, &Backward::mean, "mean", Role::follower);
  check_operand(backward, &Backward::rstd, "rstd", Role::follower);
}

// Each operand of an op that is valid in bf16 has one dtype of the three, and the others are refused; but
// `either` (y and dy of layernorm) may be f32 as well.
template <class Op>
struct MixedOp {
  explicit MixedOp(const Op& op) : valid(op) {}
  const Op& valid;

  template <class View>
  void operand(View Op::*member, DType expected, bool either = false) const {
    CHECK(complaint(valid) == "");
    CHECK((valid.*member).dtype == expected);
    for (DType dtype : {DType::f32, DType::f64, DType::bf16}) {
      if (dtype == expected) continue;
      Op broken = valid;
      (broken.*member).dtype = dtype;
      CAPTURE(static_cast<int>(dtype));
      if (either && dtype == DType::f32) {
        CHECK(complaint(broken) == "");
      } else {
        check_names(complaint(broken), Op::kName, "");
      }
    }
  }
};

Out half(const Shape& shape) {
  return view(shape, DType::bf16);
}

TEST_CASE("check: bf16 linear and linear_gelu: sums are f32, what is multiplied is bf16") {
  const Out x = half({2, 3, 5}), y = half({2, 3, 7}), weight = half({7, 5}), bias = view({7});
  const LinearForward forward{.y = y, .x = x, .weight = weight, .bias = bias};
  MixedOp{forward}.operand(&LinearForward::y, DType::bf16);
  MixedOp{forward}.operand(&LinearForward::x, DType::bf16);
  MixedOp{forward}.operand(&LinearForward::weight, DType::bf16);
  MixedOp{forward}.operand(&LinearForward::bias, kF32);
  const LinearBackward backward{
      .dx = x, .dweight_acc = view({7, 5}), .dbias_acc = bias, .dy = y, .x = x, .weight = weight};
  MixedOp{backward}.operand(&LinearBackward::dx, DType::bf16);
  MixedOp{backward}.operand(&LinearBackward::dy, DType::bf16);
  MixedOp{backward}.operand(&LinearBackward::weight, DType::bf16);
  MixedOp{backward}.operand(&LinearBackward::dweight_acc, kF32);
  MixedOp{backward}.operand(&LinearBackward::dbias_acc, kF32);
  const LinearGeluForward gelu{
      .y = y, .pre = y, .x = x, .weight = weight, .bias = bias, .gelu = {}, .dropout = {}};
  MixedOp{gelu}.operand(&LinearGeluForward::y, DType::bf16);
  MixedOp{gelu}.operand(&LinearGeluForward::pre, DType::bf16);
  MixedOp{gelu}.operand(&LinearGeluForward::bias, kF32);
}

TEST_CASE("check: bf16 linear_residual: the residual stream is f32, its branch bf16") {
  const Out x = half({2, 3, 5}), branch = half({2, 3, 7}), y = view({2, 3, 7}), out = view({7});
  using Forward = LinearResidualForward;
  const Forward forward{.y = y,
                        .branch = branch,
                        .residual = y,
                        .x = x,
                        .weight = half({7, 5}),
                        .bias = out,
                        .gamma = out,
                        .dropout = {},
                        .drop_path = {}};
  MixedOp{forward}.operand(&Forward::y, kF32);
  MixedOp{forward}.operand(&Forward::residual, kF32);
  MixedOp{forward}.operand(&Forward::branch, DType::bf16);
  MixedOp{forward}.operand(&Forward::weight, DType::bf16);
  MixedOp{forward}.operand(&Forward::bias, kF32);
  MixedOp{forward}.operand(&Forward::gamma, kF32);
  using Backward = LinearResidualBackward;
  const Backward backward{.dx = x,
                          .dbranch = branch,
                          .dweight_acc = view({7, 5}),
                          .dbias_acc = out,
                          .dgamma_acc = out,
                          .dy = y,
                          .branch = branch,
                          .x = x,
                          .weight = half({7, 5}),
                          .gamma = out,
                          .dropout = {},
                          .drop_path = {},
                          .gelu_pre = x,
                          .gelu = {},
                          .gelu_dropout = {}};
  MixedOp{backward}.operand(&Backward::dx, DType::bf16);
  MixedOp{backward}.operand(&Backward::dbranch, DType::bf16);
  MixedOp{backward}.operand(&Backward::dweight_acc, kF32);
  MixedOp{backward}.operand(&Backward::dbias_acc, kF32);
  MixedOp{backward}.operand(&Backward::dgamma_acc, kF32);
  MixedOp{backward}.operand(&Backward::dy, kF32);
  MixedOp{backward}.operand(&Backward::branch, DType::bf16);
  MixedOp{backward}.operand(&Backward::gamma, kF32);
  MixedOp{backward}.operand(&Backward::gelu_pre, DType::bf16);
}

TEST_CASE("check: bf16 layernorm: only y and dy, and each may stay f32") {
  const Out x = view({2, 3, 5}), y = half({2, 3, 5}), cols = view({5}), rows = view({2, 3});
  using Forward = LayerNormForward;
  const Forward forward{.y = y, .mean = rows, .rstd = rows, .x = x, .weight = cols, .bias = cols};
  MixedOp{forward}.operand(&Forward::y, DType::bf16, true);
  MixedOp{forward}.operand(&Forward::x, kF32);
  MixedOp{forward}.operand(&Forward::mean, kF32);
  MixedOp{forward}.operand(&Forward::weight, kF32);
  using Backward = LayerNormBackward;
  const Backward backward{.dx_acc = x,
                          .dweight_acc = cols,
                          .dbias_acc = cols,
                          .dy = y,
                          .x = x,
                          .weight = cols,
                          .mean = rows,
                          .rstd = rows};
  MixedOp{backward}.operand(&Backward::dy, DType::bf16, true);
  MixedOp{backward}.operand(&Backward::dx_acc, kF32);
  MixedOp{backward}.operand(&Backward::dweight_acc, kF32);
  MixedOp{backward}.operand(&Backward::x, kF32);
}

TEST_CASE("check: bf16 attention and patch_embed") {
  const Out qkv = half({2, 3, 24}), out = half({2, 3, 8}), lse = view({2, 4, 3});
  const AttentionForward attention{.y = out, .lse = lse, .qkv = qkv, .heads = 4, .dropout = {}};
  MixedOp{attention}.operand(&AttentionForward::y, DType::bf16);
  MixedOp{attention}.operand(&AttentionForward::lse, kF32);
  const AttentionBackward back{
      .dqkv = qkv, .dy = out, .y = out, .qkv = qkv, .lse = lse, .heads = 4, .dropout = {}};
  MixedOp{back}.operand(&AttentionBackward::dqkv, DType::bf16);
  MixedOp{back}.operand(&AttentionBackward::dy, DType::bf16);
  MixedOp{back}.operand(&AttentionBackward::lse, kF32);
  const Out images = view({2, 3, 8, 12}), y = view({2, 6, 5}), patches = half({2, 6, 48});
  using Forward = PatchEmbedForward;
  const Forward forward{
      .y = y, .patches = patches, .images = images, .weight = half({5, 3, 4, 4}), .bias = view({5})};
  MixedOp{forward}.operand(&Forward::images, kF32);
  MixedOp{forward}.operand(&Forward::patches, DType::bf16);
  MixedOp{forward}.operand(&Forward::weight, DType::bf16);
  MixedOp{forward}.operand(&Forward::y, kF32);
  using Backward = PatchEmbedBackward;
  const Backward backward{
      .dweight_acc = view({5, 3, 4, 4}), .dbias_acc = view({5}), .dy = y, .patches = patches};
  MixedOp{backward}.operand(&Backward::dweight_acc, kF32);
  MixedOp{backward}.operand(&Backward::dy, kF32);
  MixedOp{backward}.operand(&Backward::patches, DType::bf16, true);
}

TEST_CASE("check: cast is between f32 and bf16") {
  const Cast down{.y = half({9}), .x = view({9})}, up{.y = view({9}), .x = half({9})};
  check_operand(down, &Cast::y, "y", Role::follower);
  check_operand(down, &Cast::x, "x", Role::source);
  MixedOp{down}.operand(&Cast::y, DType::bf16);
  MixedOp{up}.operand(&Cast::y, kF32);
  const Cast same{.y = view({9}), .x = view({9})}, f64{.y = half({9}), .x = view({9}, DType::f64)};
  CHECK(complaint(same) == "cast: y: expected (9) bf16, found (9) f32");
  check_names(complaint(f64), "cast", "x");
}

TEST_CASE("check: ops of the residual stream, the head and the optimizer refuse bf16") {
  const Out x = half({2, 5, 3}), one = half({2, 1, 3}), logits = half({4, 9});
  check_names(complaint(MeanTokensForward{.y = one, .x = x, .first = 1}), "mean_tokens_forward",
              "f32 or f64");
  check_names(complaint(Combine{.y = x, .a = x, .b = {}}), "combine", "f32 or f64");
  const CrossEntropy loss{.losses = view({4}), .dlogits = logits, .logits = logits, .targets = logits};
  check_names(complaint(loss), "cross_entropy", "f32 or f64");
  check_names(complaint(GradNorm{.norm = view({1}, DType::f64), .grad = half({9})}), "grad_norm",
              "f32 or f64");
  const EmbedTokensForward embed{
      .x = x, .patches = x, .cls_token = {}, .dist_token = {}, .reg_token = {}, .pos_embed = half({1, 5, 3})};
  check_names(complaint(embed), "embed_tokens_forward", "f32 or f64");
}

TEST_CASE("check: attention") {
  const Out qkv = view({2, 3, 24}), y = view({2, 3, 8}), lse = view({2, 4, 3});
  const AttentionForward forward{.y = y, .lse = lse, .qkv = qkv, .heads = 4, .dropout = {}};
  check_operand(forward, &AttentionForward::qkv, "qkv", Role::source);
  check_operand(forward, &AttentionForward::y, "y", Role::follower);
  check_operand(forward, &AttentionForward::lse, "lse", Role::follower);
  check_dropout(forward, &AttentionForward::dropout, "dropout");
  for (std::int64_t heads : {-1, 0, 3, 16}) {
    AttentionForward broken = forward;
    broken.heads = heads;
    check_names(complaint(broken), "attention_forward", heads < 1 ? "heads" : "qkv");
  }
  const AttentionBackward backward{
      .dqkv = qkv, .dy = y, .y = y, .qkv = qkv, .lse = lse, .heads = 4, .dropout = {}};
  check_operand(backward, &AttentionBackward::qkv, "qkv", Role::source);
  check_operand(backward, &AttentionBackward::dqkv, "dqkv", Role::follower);
  check_operand(backward, &AttentionBackward::dy, "dy", Role::follower);
  check_operand(backward, &AttentionBackward::y, "y", Role::follower);
  check_operand(backward, &AttentionBackward::lse, "lse", Role::follower);
  check_dropout(backward, &AttentionBackward::dropout, "dropout");
}

TEST_CASE("check: patch_embed") {
  const Out images = view({2, 3, 8, 12}), weight = view({5, 3, 4, 4}), bias = view({5});
  const Out y = view({2, 6, 5}), patches = view({2, 6, 48});
  const PatchEmbedForward forward{
      .y = y, .patches = patches, .images = images, .weight = weight, .bias = bias};
  check_operand(forward, &PatchEmbedForward::images, "images", Role::source);
  check_operand(forward, &PatchEmbedForward::weight, "weight", Role::source);
  check_operand(forward, &PatchEmbedForward::y, "y", Role::follower);
  check_operand(forward, &PatchEmbedForward::patches, "patches", Role::follower);
  check_operand(forward, &PatchEmbedForward::bias, "bias", Role::optional_);
  PatchEmbedForward uneven = forward;
  uneven.images.shape = {2, 3, 9, 12};
  CHECK(complaint(uneven) ==
        "patch_embed_forward: images: expected a height that is a multiple of the patch size, found 9");
  const PatchEmbedBackward backward{.dweight_acc = weight, .dbias_acc = bias, .dy = y, .patches = patches};
  check_operand(backward, &PatchEmbedBackward::dy, "dy", Role::source);
  check_operand(backward, &PatchEmbedBackward::dweight_acc, "dweight_acc", Role::source);
  check_operand(backward, &PatchEmbedBackward::patches, "patches", Role::follower);
  check_operand(backward, &PatchEmbedBackward::dbias_acc, "dbias_acc", Role::optional_);
}

TEST_CASE("check: embed_tokens") {
  using Forward = EmbedTokensForward;
  const Out all = view({2, 8, 5}), patches = view({2, 4, 5}), one = view({1, 1, 5}), two = view({1, 2, 5});
  const Forward forward{.x = all,
                        .patches = patches,
                        .cls_token = one,
                        .dist_token = one,
                        .reg_token = two,
                        .pos_embed = view({1, 8, 5})};
  check_operand(forward, &Forward::patches, "patches", Role::source);
  check_operand(forward, &Forward::x, "x", Role::follower);
  check_operand(forward, &Forward::pos_embed, "pos_embed", Role::follower);
  Forward broken = forward;
  broken.reg_token = view({1, 3, 5});
  check_names(complaint(broken), Forward::kName, "x");
  broken = forward;
  broken.cls_token = two;
  check_names(complaint(broken), Forward::kName, "cls_token");
  broken = forward;
  broken.pos_embed = view({1, 5, 5});
  check_names(complaint(broken), Forward::kName, "pos_embed");
  broken.pos_embed = view({1, 4, 5});
  CHECK(complaint(broken) == "");
  using Backward = EmbedTokensBackward;
  const Backward backward{.dpatches = patches,
                          .dcls_token_acc = one,
                          .ddist_token_acc = one,
                          .dreg_token_acc = two,
                          .dpos_embed_acc = view({1, 4, 5}),
                          .dx = all};
  check_operand(backward, &Backward::dpatches, "dpatches", Role::source);
  check_operand(backward, &Backward::dx, "dx", Role::follower);
  check_operand(backward, &Backward::dpos_embed_acc, "dpos_embed_acc", Role::follower);
}

template <class Op>
void check_first(const Op& valid, std::initializer_list<std::int64_t> refused) {
  for (std::int64_t first : refused) {
    Op broken = valid;
    broken.first = first;
    check_names(complaint(broken), Op::kName, "first");
  }
}

TEST_CASE("check: slice_tokens and mean_tokens") {
  const Out x = view({2, 5, 3}), part = view({2, 4, 3}), one = view({2, 1, 3});
  const SliceTokensForward slice{.y = part, .x = x, .first = 1};
  check_operand(slice, &SliceTokensForward::x, "x", Role::source);
  check_operand(slice, &SliceTokensForward::y, "y", Role::follower);
  check_first(slice, {-1, 2});
  const SliceTokensBackward slice_back{.dx_acc = x, .dy = part, .first = 1};
  check_operand(slice_back, &SliceTokensBackward::dx_acc, "dx_acc", Role::source);
  check_operand(slice_back, &SliceTokensBackward::dy, "dy", Role::follower);
  check_first(slice_back, {-1, 2});
  const MeanTokensForward mean{.y = one, .x = x, .first = 4};
  check_operand(mean, &MeanTokensForward::x, "x", Role::source);
  check_operand(mean, &MeanTokensForward::y, "y", Role::follower);
  check_first(mean, {-1, 5});
  const MeanTokensBackward mean_back{.dx_acc = x, .dy = one, .first = 4};
  check_operand(mean_back, &MeanTokensBackward::dx_acc, "dx_acc", Role::source);
  check_operand(mean_back, &MeanTokensBackward::dy, "dy", Role::follower);
  check_first(mean_back, {-1, 5});
}

TEST_CASE("check: cross_entropy, combine, dropout, grad_norm") {
  const Out logits = view({4, 9});
  const CrossEntropy loss{.losses = view({4}), .dlogits = logits, .logits = logits, .targets = logits};
  check_operand(loss, &CrossEntropy::logits, "logits", Role::source);
  check_operand(loss, &CrossEntropy::losses, "losses", Role::follower);
  check_operand(loss, &CrossEntropy::targets, "targets", Role::follower);
  check_operand(loss, &CrossEntropy::dlogits, "dlogits", Role::optional_);
  CrossEntropy smooth = loss;
  smooth.label_smoothing = 1;
  check_names(complaint(smooth), "cross_entropy", "label_smoothing");
  const Combine combine{.y = logits, .a = logits, .b = logits};
  check_operand(combine, &Combine::a, "a", Role::source);
  check_operand(combine, &Combine::y, "y", Role::follower);
  check_operand(combine, &Combine::b, "b", Role::optional_);
  const ApplyDropout dropout{.y = logits, .x = logits, .dropout = {}};
  check_operand(dropout, &ApplyDropout::x, "x", Role::source);
  check_operand(dropout, &ApplyDropout::y, "y", Role::follower);
  check_dropout(dropout, &ApplyDropout::dropout, "dropout");
  const GradNorm norm{.norm = view({1}, DType::f64), .grad = view({9})};
  check_operand(norm, &GradNorm::norm, "norm", Role::follower);
  GradNorm missing = norm;
  missing.grad = {};
  check_names(complaint(missing), "grad_norm", "grad");
}

AdamStep valid_adam(std::span<const AdamSegment> segments) {
  const Out n = view({9});
  return {.weight = n,
          .first_moment = n,
          .second_moment = n,
          .ema = n,
          .grad = n,
          .grad_norm = view({1}, DType::f64),
          .segments = segments,
          .max_norm = 1};
}

TEST_CASE("check: adam_step's operands") {
  const AdamSegment all[] = {{0, 9, 1, 0}};
  const AdamStep adam = valid_adam(all);
  check_operand(adam, &AdamStep::weight, "weight", Role::source);
  check_operand(adam, &AdamStep::first_moment, "first_moment", Role::follower);
  check_operand(adam, &AdamStep::second_moment, "second_moment", Role::follower);
  check_operand(adam, &AdamStep::ema, "ema", Role::optional_);
  check_operand(adam, &AdamStep::grad, "grad", Role::follower);
  AdamStep rounded = adam;
  rounded.weight_bf16 = half({9});
  check_operand(rounded, &AdamStep::weight_bf16, "weight_bf16", Role::optional_);
  rounded.weight_bf16.dtype = kF32;
  check_names(complaint(rounded), "adam_step", "weight_bf16");
  AdamStep clip_without_norm = adam;
  clip_without_norm.grad_norm = {};
  check_names(complaint(clip_without_norm), "adam_step", "max_norm");
  clip_without_norm.max_norm = 0;
  CHECK(complaint(clip_without_norm) == "");
}

TEST_CASE("check: adam_step's numbers and segments") {
  const AdamSegment all[] = {{0, 9, 1, 0}};
  const auto refused = [&](const char* name, auto change) {
    AdamStep broken = valid_adam(all);
    change(broken);
    check_names(complaint(broken), "adam_step", name);
  };
  refused("step", [](AdamStep& op) { op.step = 0; });
  refused("lr", [](AdamStep& op) { op.lr = -1; });
  refused("lr", [](AdamStep& op) { op.lr = std::numeric_limits<double>::infinity(); });
  refused("beta1", [](AdamStep& op) { op.beta1 = 1; });
  refused("beta2", [](AdamStep& op) { op.beta2 = -0.1; });
  refused("eps", [](AdamStep& op) { op.eps = -1; });
  refused("ema_decay", [](AdamStep& op) { op.ema_decay = 1.1; });
  const std::vector<std::vector<AdamSegment>> wrong = {
      {{-1, 4, 1, 0}},
      {{0, 10, 1, 0}},
      {{5, 4, 1, 0}},
      {{0, 5, 1, 0}, {4, 9, 1, 0}},
      {{5, 9, 1, 0}, {0, 5, 1, 0}},
      {{0, 9, 1, -1}},
  };
  for (const auto& segments : wrong)
    check_names(complaint(valid_adam(segments)), "adam_step", "segments");
}

}  // namespace
}  // namespace vitrail::test
