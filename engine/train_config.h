#pragma once
// Everything that decides a training run. The table of settings (engine/keys.h) sets these fields; a
// checkpoint carries them; the same config, data and build give the same weights, bit for bit.

#include <cstdint>
#include <optional>
#include <string>

#include "engine/data/transform.h"
#include "engine/recompute.h"
#include "engine/schedule.h"
#include "engine/vit_config.h"
#include "kernels/adam.h"
#include "kernels/view.h"

namespace vitrail {

struct OptimizerConfig {
  AdamKind kind = AdamKind::adamw;
  double lr = 1e-3;            // at the top of the schedule
  double weight_decay = 0.05;  // not on biases, norms, tokens and position embedding …
  bool decay_all = false;      // … but for this, as AdamW over all parameters in one group
  double layer_decay = 1;      // learning rate of layer l: lr · layer_decay^(last − l)
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double clip_norm = 1;  // largest global gradient norm; 0 switches clipping off

  friend bool operator==(const OptimizerConfig&, const OptimizerConfig&) = default;
};

struct EmaConfig {
  double decay = 0;    // of the moving average of the weights; 0 switches it off
  bool warmup = true;  // decay at update t is min(decay, 1 − (1 + t)^(−2/3)), timm/utils/model_ema.py

  friend bool operator==(const EmaConfig&, const EmaConfig&) = default;
};

// How a checkpoint is made while training goes on; the file is the same.
enum class SaveMode : std::uint8_t {
  staged,   // the state is copied to memory set aside for it, and written behind
  barrier,  // written behind without a copy: a tensor's update waits until the tensor is written
  sync,     // training waits for the file
};

struct SaveConfig {
  SaveMode mode = SaveMode::staged;
  std::int64_t every_steps = 0;  // besides the end of each epoch; 0: only there
  std::int64_t keep = 0;         // how many earlier checkpoints stay in rolling/, beside last and best
  std::int64_t keep_every = 0;   // the first checkpoint of every so many steps stays in kept/; 0: none

  friend bool operator==(const SaveConfig&, const SaveConfig&) = default;
};

struct MemoryConfig {
  Recompute recompute = Recompute::gelu;  // costs less than can be measured
  bool recompute_auto = true;  // the level is the machine's choice, whenever a run begins or goes on
  std::uint64_t limit = 0;     // bytes that the run may take; 0: a share of what is free

  friend bool operator==(const MemoryConfig&, const MemoryConfig&) = default;
};

// Weights to begin with, and what the file does not tell of itself (engine/import_model.h).
struct InitConfig {
  std::string file;  // empty: random weights
  std::optional<double> norm_eps;
  std::optional<GeluKind> gelu;
  std::int64_t num_heads = 0;  // 0: the file tells
  std::string normalization;   // "half", "imagenet", "clip"; empty: the file tells

  friend bool operator==(const InitConfig&, const InitConfig&) = default;
};

struct TrainConfig {
  std::string data;           // "fashion-mnist" or a folder
  double val_fraction = 0.1;  // where the data has no validation part of its own
  VitConfig model;
  InputConfig input;
  AugmentConfig augment;
  OptimizerConfig opt;
  ScheduleConfig schedule;
  EmaConfig ema;
  SaveConfig save;
  MemoryConfig memory;
  InitConfig init;
  std::string resume_from;  // a checkpoint of PyTorch, whose training goes on; empty: none
  std::int64_t epochs = 10;
  std::int64_t steps = 0;       // stop after this many steps; 0: epochs decide
  std::int64_t batch = 128;     // samples of one optimizer step
  std::int64_t accumulate = 1;  // cut a step into this many micro-batches (batch must divide by it); 0: as
                                // many as the memory asks for, yet to be chosen
  double label_smoothing = 0;
  std::uint64_t seed = 0;
  DType dtype =
      DType::f32;  // in which products are computed; bf16: everything else is f32; int8: not to train
  bool dtype_auto = false;  // dtype is yet to be chosen, by the device

  // Throws ConfigError naming the key and what would be accepted.
  void check() const;

  friend bool operator==(const TrainConfig&, const TrainConfig&) = default;
};

const char* name_of(AdamKind kind);  // "adam", "adamw"
const char* name_of(SaveMode mode);  // "staged", "barrier", "sync"

}  // namespace vitrail
