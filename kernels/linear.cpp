#include "kernels/linear.h"

#include "kernels/check.h"

namespace vitrail {
namespace {

// The shape of `x` with another last extent.
Shape with_features(const In& x, std::int64_t features) {
  return {x.shape[0], x.shape[1], features};
}

// (out, in) of x's dtype, or int8 with what goes with it.
void check_weight(const Contract& contract, In x, In weight, const QuantizedRows& quantized,
                  std::int64_t out) {
  const std::int64_t in = x.shape[2];
  if (!quantized.scale && !quantized.sum) return contract.operand("weight", weight, x.dtype, {out, in});
  contract.operand("x", x, DType::f32, x.shape);
  contract.require(in <= kMostQuantized, "x", "at most 65536 features beside an int8 weight", double(in));
  contract.operand("weight", weight, DType::int8, {out, in});
  contract.operand("quantized.scale", quantized.scale, DType::f32, {out});
  contract.operand("quantized.sum", quantized.sum, DType::f32, {out});
}

}  // namespace

void LinearForward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.present("y", y, 3);
  const std::int64_t out = y.shape[2];
  contract.operand("y", y, x.dtype, with_features(x, out));
  check_weight(contract, x, weight, quantized, out);
  contract.optional("bias", bias, statistics_dtype(x.dtype), {out});
}

void LinearBackward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.present("dy", dy, 3);
  const std::int64_t in = x.shape[2], out = dy.shape[2];
  contract.operand("dy", dy, x.dtype, with_features(x, out));
  contract.optional("dx", dx, x.dtype, x.shape);
  contract.operand("weight", weight, x.dtype, {out, in});
  contract.operand("dweight_acc", dweight_acc, statistics_dtype(x.dtype), {out, in});
  contract.optional("dbias_acc", dbias_acc, statistics_dtype(x.dtype), {out});
}

void LinearGeluForward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.present("y", y, 3);
  const std::int64_t out = y.shape[2];
  contract.operand("y", y, x.dtype, with_features(x, out));
  contract.optional("pre", pre, x.dtype, y.shape);
  check_weight(contract, x, weight, quantized, out);
  contract.optional("bias", bias, statistics_dtype(x.dtype), {out});
  contract.dropout("dropout", dropout);
}

void LinearResidualForward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.present("y", y, 3);
  const std::int64_t out = y.shape[2];
  const DType wide = statistics_dtype(x.dtype);
  contract.operand("y", y, wide, with_features(x, out));
  contract.operand("residual", residual, wide, y.shape);
  check_weight(contract, x, weight, quantized, out);
  contract.optional("bias", bias, wide, {out});
  contract.optional("gamma", gamma, wide, {out});
  if (branch) contract.operand("gamma", gamma, wide, {out});
  contract.optional("branch", branch, x.dtype, y.shape);
  contract.dropout("dropout", dropout);
  contract.dropout("drop_path", drop_path);
}

void LinearResidualBackward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.present("dy", dy, 3);
  const std::int64_t in = x.shape[2], out = dy.shape[2];
  const DType wide = statistics_dtype(x.dtype);
  contract.operand("dy", dy, wide, with_features(x, out));
  contract.operand("dx", dx, x.dtype, x.shape);
  contract.operand("dbranch", dbranch, x.dtype, dy.shape);
  contract.operand("weight", weight, x.dtype, {out, in});
  contract.operand("dweight_acc", dweight_acc, wide, {out, in});
  contract.optional("dbias_acc", dbias_acc, wide, {out});
  contract.optional("gamma", gamma, wide, {out});
  contract.optional("dgamma_acc", dgamma_acc, wide, {out});
  contract.optional("branch", branch, x.dtype, dy.shape);
  contract.together("gamma", gamma, "dgamma_acc", dgamma_acc);
  contract.together("gamma", gamma, "branch", branch);
  contract.optional("gelu_pre", gelu_pre, x.dtype, x.shape);
  contract.dropout("dropout", dropout);
  contract.dropout("drop_path", drop_path);
  contract.dropout("gelu_dropout", gelu_dropout);
}

}  // namespace vitrail
