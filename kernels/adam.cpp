#include "kernels/adam.h"

#include <cmath>

#include "kernels/check.h"

namespace vitrail {
namespace {

void check_segments(const Contract& contract, std::span<const AdamSegment> segments, std::int64_t n) {
  std::int64_t previous_end = 0;
  for (const AdamSegment& segment : segments) {
    contract.require(segment.begin >= previous_end, "segments", "ascending and disjoint ranges",
                     static_cast<double>(segment.begin));
    contract.require(segment.end >= segment.begin && segment.end <= n, "segments",
                     "ends after their begin and within the weights", static_cast<double>(segment.end));
    contract.require(segment.weight_decay >= 0, "segments", "a weight_decay of at least 0",
                     segment.weight_decay);
    previous_end = segment.end;
  }
}

void check_decay(const Contract& contract, const char* name, double decay) {
  contract.require(decay >= 0 && decay < 1, name, "a decay in [0, 1)", decay);
}

}  // namespace

void AdamStep::check() const {
  const Contract contract(kName);
  contract.present("weight", weight, 1);
  contract.wide("weight", weight);
  contract.operand("first_moment", first_moment, weight.dtype, weight.shape);
  contract.operand("second_moment", second_moment, weight.dtype, weight.shape);
  contract.optional("weight_bf16", weight_bf16, DType::bf16, weight.shape);
  contract.require(!weight_bf16 || weight.dtype == DType::f32, "weight_bf16", "it beside f32 weights only",
                   static_cast<double>(size_of(weight.dtype)));
  contract.optional("ema", ema, weight.dtype, weight.shape);
  contract.operand("grad", grad, weight.dtype, weight.shape);
  contract.optional("grad_norm", grad_norm, DType::f64, {1});
  contract.require(grad_norm ? max_norm > 0 : max_norm == 0, "max_norm",
                   "above 0 with grad_norm and 0 without", max_norm);
  check_segments(contract, segments, weight.shape[0]);
  contract.require(step >= 1, "step", "at least 1", static_cast<double>(step));
  contract.require(lr >= 0 && std::isfinite(lr), "lr", "finite and at least 0", lr);
  check_decay(contract, "beta1", beta1);
  check_decay(contract, "beta2", beta2);
  contract.require(eps >= 0, "eps", "at least 0", eps);
  contract.require(ema_decay >= 0 && ema_decay <= 1, "ema_decay", "a decay in [0, 1]", ema_decay);
}

void GradNorm::check() const {
  const Contract contract(kName);
  contract.present("grad", grad, 1);
  contract.wide("grad", grad);
  contract.operand("norm", norm, DType::f64, {1});
}

}  // namespace vitrail
