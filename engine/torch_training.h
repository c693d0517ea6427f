#pragma once
// A training that PyTorch began, to go on here: weights, both moments, steps done, and the optimizer's
// settings in our terms.

#include <optional>

#include "engine/import_model.h"
#include "engine/train_config.h"

namespace vitrail {

struct TorchTraining {
  Import import;
  Model model;
  ParamSet first_moment, second_moment;
  std::optional<ParamSet> ema;       // where the file has a moving average of the weights
  OptimizerConfig opt;               // but clip_norm, which no such file tells; lr: of the next step
  std::optional<double> initial_lr;  // the lr that a scheduler began with
  std::int64_t step = 0;             // steps done
};

// `kind`: Adam's or AdamW's weight decay, for files that do not tell. Parameters are renamed and joined as
// import_model() does with weights, and their moments with them. Throws ConfigError naming what has no place
// here: a training that would go on differently is refused.
TorchTraining take_over(const WeightFile& file, Backend& backend, const ImportOptions& options = {},
                        std::optional<AdamKind> kind = {});

}  // namespace vitrail
