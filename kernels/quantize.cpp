#include "kernels/quantize.h"

#include "kernels/check.h"

namespace vitrail {

void QuantizeRows::check() const {
  const Contract contract(kName);
  contract.present("x", x, 2);
  contract.operand("x", x, DType::f32, x.shape);
  contract.require(x.shape[1] <= kMostQuantized, "x", "at most 65536 columns", double(x.shape[1]));
  contract.operand("y", y, DType::int8, x.shape);
  contract.operand("scale", scale, DType::f32, {x.shape[0]});
  contract.operand("sum", sum, DType::f32, {x.shape[0]});
}

}  // namespace vitrail
