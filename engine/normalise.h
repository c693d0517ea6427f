#pragma once
// Layer normalisation with a network's own epsilon: the stem, both halves of a block and the head call it.

#include "engine/vit_config.h"
#include "engine/vit_params.h"
#include "kernels/backend.h"

namespace vitrail {

// `to` has norm (as x), mean and rstd (samples, tokens).
template <class Part>
void normalise(Backend& backend, const VitConfig& config, const NormParams& params, const Part& to, In x) {
  backend.run(LayerNormForward{.y = to.norm,
                               .mean = to.mean,
                               .rstd = to.rstd,
                               .x = x,
                               .weight = params.weight,
                               .bias = params.bias,
                               .eps = config.norm_eps});
}

}  // namespace vitrail
