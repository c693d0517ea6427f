#pragma once
// The state dict of torch.optim.Adam and AdamW as plain data (torch/optim/optimizer.py, adam.py, adamw.py).

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "engine/weight_file.h"
#include "kernels/adam.h"

namespace vitrail {

struct TorchGroup {
  double lr = 0;
  std::optional<double> initial_lr;  // where a scheduler moves lr
  double weight_decay = 0;
  std::vector<std::int64_t> params;  // numbers of parameters, counted over all groups
  std::vector<std::string> names;    // of the same, or none
};

struct TorchOptimizer {
  std::optional<AdamKind> kind;  // torch before about 2.6 does not tell
  double beta1 = 0, beta2 = 0, eps = 0;
  std::vector<TorchGroup> groups;
  struct Moments {
    std::size_t first = 0, second = 0;  // places in WeightFile::root_tensors
  };
  std::map<std::int64_t, Moments> state;  // by number of the parameter: all of them, and no others
  std::int64_t step = 0;                  // of all parameters
};

// The parts of a checkpoint under the names that programs give them; null when they are not there.
const format::Datum* find_optimizer(const format::Datum& root);
const format::Datum* find_state_dict(const format::Datum& root);
const format::Datum* find_ema_state_dict(const format::Datum& root);

// Throws ConfigError when there is no optimizer in the file, or one whose training cannot go on here: not
// Adam's, amsgrad, maximize, a parameter without moments (which it names), steps that differ.
TorchOptimizer read_torch_optimizer(const WeightFile& file);

// The names of the parameters by their numbers: from the file, else by their places in the model's state dict
// (one group) or by timm's rules (param_groups_weight_decay, param_groups_layer_decay), checked by shapes.
// `model`: in the state dict's order. Throws ConfigError saying what to do when no rule fits.
std::vector<std::string> parameter_names(const TorchOptimizer& optimizer,
                                         const std::vector<format::TensorRecord>& model,
                                         const std::vector<format::TensorRecord>& root_tensors);

}  // namespace vitrail
