#include "kernels/dropout.h"

#include "kernels/check.h"

namespace vitrail {

void ApplyDropout::check() const {
  const Contract contract(kName);
  contract.present("x", x);
  contract.require(x.shape.rank >= 1, "x", "a rank of at least 1: the first axis counts samples",
                   static_cast<double>(x.shape.rank));
  contract.operand("y", y, x.dtype, x.shape);
  contract.dropout("dropout", dropout);
}

}  // namespace vitrail
