#include "kernels/combine.h"

#include "kernels/check.h"

namespace vitrail {

void Combine::check() const {
  const Contract contract(kName);
  contract.present("a", a);
  contract.wide("a", a);
  contract.operand("y", y, a.dtype, a.shape);
  contract.optional("b", b, a.dtype, a.shape);
}

}  // namespace vitrail
