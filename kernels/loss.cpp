#include "kernels/loss.h"

#include "kernels/check.h"

namespace vitrail {

void CrossEntropy::check() const {
  const Contract contract(kName);
  contract.present("logits", logits, 2);
  contract.wide("logits", logits);
  contract.operand("losses", losses, logits.dtype, {logits.shape[0]});
  contract.optional("dlogits", dlogits, logits.dtype, logits.shape);
  contract.operand("targets", targets, logits.dtype, logits.shape);
  contract.require(label_smoothing >= 0 && label_smoothing < 1, "label_smoothing", "a share in [0, 1)",
                   label_smoothing);
}

}  // namespace vitrail
