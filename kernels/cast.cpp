#include "kernels/cast.h"

#include "kernels/check.h"

namespace vitrail {

void Cast::check() const {
  const Contract contract(kName);
  contract.present("x", x);
  const bool known = x.dtype == DType::f32 || x.dtype == DType::bf16;
  contract.require(known, "x", "f32 or bf16", static_cast<double>(x.dtype));
  contract.operand("y", y, x.dtype == DType::bf16 ? DType::f32 : DType::bf16, x.shape);
}

}  // namespace vitrail
