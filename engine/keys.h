#pragma once
// The one table of settings: name, type, range, one line of help. It feeds key=value arguments, TOML files,
// `--help`, config.toml of a run folder and the settings kept in checkpoints.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/train_config.h"

namespace vitrail {

struct Key {
  std::string name;     // "opt.lr"
  std::string accepts;  // "number above 0", "adam | adamw", …
  std::string help;
  std::function<std::string(const TrainConfig&)> get;       // lossless: set(get()) changes nothing
  std::function<void(TrainConfig&, std::string_view)> set;  // throws ConfigError
};

std::span<const Key> keys();

// Throws ConfigError: "unknown setting 'opt.learning_rate'; did you mean 'opt.lr'?", "opt.lr: expected a
// number above 0, found 'fast'".
void set_key(TrainConfig& config, std::string_view name, std::string_view value);

// The nearest of `candidates` to `word` by edit distance; empty when none is near.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

// Settings act in this order, whatever the order they are given in: 0 `model`, which sets every size, then 1
// all others, then 2 `model.mlp_ratio`, which needs model.dim.
int setting_rank(std::string_view name);

std::vector<std::string> to_settings(const TrainConfig& config);  // "key=value", every key, in table order
TrainConfig from_settings(std::span<const std::string> settings);

}  // namespace vitrail
