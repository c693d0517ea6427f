#include "kernels/layernorm.h"

#include "kernels/check.h"

namespace vitrail {

void LayerNormForward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  const Shape rows = {x.shape[0], x.shape[1]};
  const Shape cols = {x.shape[2]};
  contract.operand("y", y, x.dtype, x.shape);
  contract.operand("mean", mean, statistics_dtype(x.dtype), rows);
  contract.operand("rstd", rstd, statistics_dtype(x.dtype), rows);
  contract.operand("weight", weight, x.dtype, cols);
  contract.operand("bias", bias, x.dtype, cols);
  contract.require(eps >= 0, "eps", "at least 0", eps);
}

void LayerNormBackward::check() const {
  const Contract contract(kName);
  contract.present("x", x, 3);
  const Shape rows = {x.shape[0], x.shape[1]};
  const Shape cols = {x.shape[2]};
  contract.operand("dy", dy, x.dtype, x.shape);
  contract.operand("dx_acc", dx_acc, x.dtype, x.shape);
  contract.operand("dweight_acc", dweight_acc, x.dtype, cols);
  contract.operand("dbias_acc", dbias_acc, x.dtype, cols);
  contract.operand("weight", weight, x.dtype, cols);
  contract.operand("mean", mean, statistics_dtype(x.dtype), rows);
  contract.operand("rstd", rstd, statistics_dtype(x.dtype), rows);
}

}  // namespace vitrail
