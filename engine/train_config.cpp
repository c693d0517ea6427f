#include "engine/train_config.h"

#include <fmt/format.h>

#include "engine/error.h"

namespace vitrail {

void TrainConfig::check() const {
  model.check();
  if (dtype_auto || accumulate == 0) {
    throw ConfigError(fmt::format("{}: auto is for 'vitrail train'; expected a value",
                                  dtype_auto ? "dtype" : "accumulate"));
  }
  if (dtype == DType::int8) {
    throw ConfigError(
        "dtype: int8 is for 'eval', 'predict' and 'bench --only infer'; expected f32 or bf16 to train");
  }
  if (batch % accumulate != 0) {
    throw ConfigError(
        fmt::format("accumulate: expected a divisor of batch = {}, found {}", batch, accumulate));
  }
  if (input.size != model.img_size || input.channels != model.in_chans) {
    throw ConfigError(fmt::format("input: expected the model's {} channels of {} pixels, found {} of {}",
                                  model.in_chans, model.img_size, input.channels, input.size));
  }
  const bool falls = schedule.kind == ScheduleKind::cosine || schedule.kind == ScheduleKind::linear;
  if (falls && schedule.min_lr > opt.lr) {
    throw ConfigError(
        fmt::format("schedule.min_lr: expected at most opt.lr = {}, found {}", opt.lr, schedule.min_lr));
  }
  if (schedule.warmup_lr > opt.lr) {
    throw ConfigError(fmt::format("schedule.warmup_lr: expected at most opt.lr = {}, found {}", opt.lr,
                                  schedule.warmup_lr));
  }
  if (steps > 0 && schedule.warmup_steps > steps) {
    throw ConfigError(fmt::format("schedule.warmup_steps: expected at most steps = {}, found {}", steps,
                                  schedule.warmup_steps));
  }
  if (augment.shift >= model.img_size) {
    throw ConfigError(fmt::format("augment.shift: expected below model.img_size = {}, found {}",
                                  model.img_size, augment.shift));
  }
}

const char* name_of(AdamKind kind) {
  return kind == AdamKind::adam ? "adam" : "adamw";
}

const char* name_of(Recompute level) {
  switch (level) {
    case Recompute::none:
      return "none";
    case Recompute::gelu:
      return "gelu";
    case Recompute::block:
      return "block";
  }
  return "?";
}

const char* name_of(SaveMode mode) {
  switch (mode) {
    case SaveMode::staged:
      return "staged";
    case SaveMode::barrier:
      return "barrier";
    case SaveMode::sync:
      return "sync";
  }
  return "?";
}

}  // namespace vitrail
