#include "kernels/gelu.h"

#include "kernels/check.h"

namespace vitrail {

void GeluForward::check() const {
  const Contract contract(kName);
  contract.present("pre", pre, 3);
  contract.operand("y", y, pre.dtype, pre.shape);
  contract.dropout("dropout", dropout);
}

}  // namespace vitrail
