#include "kernels/layernorm.h"

#include "kernels/check.h"

namespace vitrail {
namespace {

// What y or dy is expected to be beside x: the same, or bf16 beside f32.
DType data_dtype(In x, In y) {
  return x.dtype == DType::f32 && y.dtype == DType::bf16 ? DType::bf16 : x.dtype;
}

}  // namespace

void LayerNormForward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.wide("x", x);
  const Shape rows = {x.shape[0], x.shape[1]};
  const Shape cols = {x.shape[2]};
  contract.operand("y", y, data_dtype(x, y), x.shape);
  contract.operand("mean", mean, x.dtype, rows);
  contract.operand("rstd", rstd, x.dtype, rows);
  contract.operand("weight", weight, x.dtype, cols);
  contract.operand("bias", bias, x.dtype, cols);
  contract.require(eps >= 0, "eps", "at least 0", eps);
}

void LayerNormBackward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  contract.wide("x", x);
  const Shape rows = {x.shape[0], x.shape[1]};
  const Shape cols = {x.shape[2]};
  contract.operand("dy", dy, data_dtype(x, dy), x.shape);
  contract.operand("dx_acc", dx_acc, x.dtype, x.shape);
  contract.operand("dweight_acc", dweight_acc, x.dtype, cols);
  contract.operand("dbias_acc", dbias_acc, x.dtype, cols);
  contract.operand("weight", weight, x.dtype, cols);
  contract.operand("mean", mean, x.dtype, rows);
  contract.operand("rstd", rstd, x.dtype, rows);
}

}  // namespace vitrail
