#include "engine/keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/error.h"
#include "engine/key_table.h"

// A function object that gives a TrainConfig's member, const or not.
#define VITRAIL_FIELD(member) \
  [](auto& config) -> auto& { \
    return config.member;     \
  }

namespace vitrail {
namespace {

using namespace key_table;

Key data_key() {
  return {"data", "fashion-mnist | FOLDER",
          "what to learn from: IDX files, or a folder of class folders with PNG and JPEG images",
          [](const TrainConfig& config) { return config.data; },
          [](TrainConfig& config, std::string_view text) { config.data = text; }};
}

Key seed_key() {
  return {"seed", "a whole number, at least 0",
          "of every random number: weights, order, augmentation, dropout",
          [](const TrainConfig& config) { return std::to_string(config.seed); },
          [](TrainConfig& config, std::string_view text) { config.seed = parse_seed("seed", text); }};
}

Key dtype_key() {
  static constexpr const char* kAccepts = "f32 | bf16 | int8 | f64 | auto";
  return {"dtype", kAccepts,
          "numbers of the products; bf16: weights, sums and statistics stay f32; auto: bf16 where the "
          "processor multiplies it faster; int8: not to train, weights and what they meet in 8 bits; f64: "
          "slow, for checking",
          [](const TrainConfig& config) {
            return std::string(config.dtype_auto ? "auto" : name_of(config.dtype));
          },
          [](TrainConfig& config, std::string_view text) {
            config.dtype_auto = text == "auto";
            if (config.dtype_auto) return;
            for (const DType dtype : {DType::f32, DType::bf16, DType::int8, DType::f64}) {
              if (text == name_of(dtype)) return void(config.dtype = dtype);
            }
            refuse_value("dtype", kAccepts, text);
          }};
}

// "auto" stays: another machine may choose another level, and the bits are the same.
Key recompute_key() {
  static constexpr const char* kAccepts = "none | gelu | block | auto";
  return {
      "memory.recompute", kAccepts,
      "what the backward makes again to save memory: nothing; the outputs of norms and GELU; each block's "
      "forward; auto: as little as fits into memory.limit",
      [](const TrainConfig& config) {
        return std::string(config.memory.recompute_auto ? "auto" : name_of(config.memory.recompute));
      },
      [](TrainConfig& config, std::string_view text) {
        config.memory.recompute_auto = text == "auto";
        if (config.memory.recompute_auto) return;
        for (const Recompute level : {Recompute::none, Recompute::gelu, Recompute::block}) {
          if (text == name_of(level)) return void(config.memory.recompute = level);
        }
        refuse_value("memory.recompute", kAccepts, text);
      }};
}

// "auto" stands for accumulate=auto and is never written back.
Key batch_key() {
  static constexpr WholeRange kRange{1, 1 << 20};
  return {"batch", kRange.text() + " | auto",
          "images of one optimizer step; auto: as many as fit the data, with accumulate=auto",
          [](const TrainConfig& config) { return std::to_string(config.batch); },
          [](TrainConfig& config, std::string_view text) {
            if (text == "auto") {
              config.accumulate = 0;
            } else {
              config.batch = parse_whole("batch", text, kRange);
            }
          }};
}

Key accumulate_key() {
  static constexpr WholeRange kRange{1, 1 << 20};
  return {"accumulate", kRange.text() + " | auto",
          "cut a batch into this many parts, to save memory; auto: as few as fit into memory.limit",
          [](const TrainConfig& config) {
            return config.accumulate == 0 ? std::string("auto") : std::to_string(config.accumulate);
          },
          [](TrainConfig& config, std::string_view text) {
            config.accumulate = text == "auto" ? 0 : parse_whole("accumulate", text, kRange);
          }};
}

Key memory_limit_key() {
  return {"memory.limit", "a size such as 8GiB | auto",
          "memory that the run may take; auto: four fifths of what is free",
          [](const TrainConfig& config) {
            return config.memory.limit == 0 ? std::string("auto") : size_text(config.memory.limit);
          },
          [](TrainConfig& config, std::string_view text) {
            config.memory.limit = text == "auto" ? 0 : parse_size("memory.limit", text);
          }};
}

void add_run_keys(std::vector<Key>& rows) {
  rows.push_back(data_key());
  rows.push_back(number("val_fraction", VITRAIL_FIELD(val_fraction), kRate,
                        "share of each class kept for validation where the data has no such part"));
  rows.push_back(whole("epochs", VITRAIL_FIELD(epochs), {1, 1'000'000}, "passes over the training images"));
  rows.push_back(
      whole("steps", VITRAIL_FIELD(steps), {0, kNoWholeLimit}, "stop after this many; 0: epochs decide"));
  rows.push_back(batch_key());
  rows.push_back(accumulate_key());
  rows.push_back(seed_key());
  rows.push_back(dtype_key());
  rows.push_back(number("label_smoothing", VITRAIL_FIELD(label_smoothing), kRate,
                        "share of the target spread over all classes"));
}

void add_optimizer_keys(std::vector<Key>& rows) {
  rows.push_back(choice("opt.kind", VITRAIL_FIELD(opt.kind), {AdamKind::adamw, AdamKind::adam},
                        "adamw: weight decay apart from the gradient; adam: within it"));
  rows.push_back(
      number("opt.lr", VITRAIL_FIELD(opt.lr), kPositive, "learning rate at the top of the schedule"));
  rows.push_back(number("opt.weight_decay", VITRAIL_FIELD(opt.weight_decay), kNotNegative,
                        "of matrices; not of biases, norms, tokens and position embedding"));
  rows.push_back(switched("opt.decay_all", VITRAIL_FIELD(opt.decay_all),
                          "weight decay of every parameter, as PyTorch's AdamW with one group"));
  rows.push_back(number("opt.layer_decay", VITRAIL_FIELD(opt.layer_decay), kShareAboveZero,
                        "factor of the learning rate from each layer to the one before it; 1: none"));
  rows.push_back(number("opt.beta1", VITRAIL_FIELD(opt.beta1), kRate, "decay of the first moment"));
  rows.push_back(number("opt.beta2", VITRAIL_FIELD(opt.beta2), kRate, "decay of the second moment"));
  rows.push_back(
      number("opt.eps", VITRAIL_FIELD(opt.eps), kPositive, "added to the root of the second moment"));
  rows.push_back(number("opt.clip_norm", VITRAIL_FIELD(opt.clip_norm), kNotNegative,
                        "largest norm of the whole gradient; 0: no clipping"));
}

void add_schedule_keys(std::vector<Key>& rows) {
  rows.push_back(
      choice("schedule.kind", VITRAIL_FIELD(schedule.kind),
             {ScheduleKind::cosine, ScheduleKind::linear, ScheduleKind::constant, ScheduleKind::step},
             "how the learning rate falls after the warm-up"));
  rows.push_back(whole("schedule.warmup_steps", VITRAIL_FIELD(schedule.warmup_steps), {-1, kNoWholeLimit},
                       "steps of rising learning rate; -1: 5 % of all steps"));
  rows.push_back(number("schedule.warmup_lr", VITRAIL_FIELD(schedule.warmup_lr), kNotNegative,
                        "learning rate from which the warm-up rises"));
  rows.push_back(number("schedule.min_lr", VITRAIL_FIELD(schedule.min_lr), kNotNegative,
                        "learning rate at the end of linear and cosine"));
  rows.push_back(whole("schedule.step_every", VITRAIL_FIELD(schedule.step_every), {1, kNoWholeLimit},
                       "steps between two falls of kind step"));
  rows.push_back(number("schedule.gamma", VITRAIL_FIELD(schedule.gamma), kShareAboveZero,
                        "factor of each fall of kind step"));
}

void add_upkeep_keys(std::vector<Key>& rows) {
  rows.push_back(number("ema.decay", VITRAIL_FIELD(ema.decay), kRate,
                        "of the moving average of the weights, used in evaluation; 0: none"));
  rows.push_back(switched("ema.warmup", VITRAIL_FIELD(ema.warmup), "begin with a faster average"));
  rows.push_back(whole("save.every_steps", VITRAIL_FIELD(save.every_steps), {0, kNoWholeLimit},
                       "a checkpoint every so many steps besides the end of each epoch; 0: only there"));
  rows.push_back(choice("save.mode", VITRAIL_FIELD(save.mode),
                        {SaveMode::staged, SaveMode::barrier, SaveMode::sync},
                        "staged: copied, then written behind; barrier: written behind without a copy; sync: "
                        "training waits"));
  rows.push_back(whole("save.keep", VITRAIL_FIELD(save.keep), {0, 1'000'000},
                       "earlier checkpoints to keep in rolling/, beside last and best"));
  rows.push_back(
      whole("save.keep_every", VITRAIL_FIELD(save.keep_every), {0, kNoWholeLimit},
            "the first checkpoint at or after every so many steps stays in kept/ for good; 0: none"));
  rows.push_back(recompute_key());
  rows.push_back(memory_limit_key());
}

void add_image_keys(std::vector<Key>& rows) {
  rows.push_back(number("augment.crop_min", VITRAIL_FIELD(augment.crop_min), kShareAboveZero,
                        "smallest share of the image in a random resized crop; 1: no such crop"));
  rows.push_back(number("augment.crop_ratio", VITRAIL_FIELD(augment.crop_ratio), {.low = 1, .high = 10},
                        "largest ratio of the crop's sides, either way"));
  rows.push_back(whole("augment.shift", VITRAIL_FIELD(augment.shift), {0, 16384},
                       "pixels to move by at most in both directions"));
  rows.push_back(
      number("augment.flip", VITRAIL_FIELD(augment.flip), kShare, "probability of a mirror image"));
  rows.push_back(number("augment.erase", VITRAIL_FIELD(augment.erase), kShare,
                        "probability that a random rectangle is blanked"));
  rows.push_back(number("input.crop_pct", VITRAIL_FIELD(input.crop_pct), kShareAboveZero,
                        "share of the short side that is left after the centre crop"));
  rows.push_back(choice("input.interpolation", VITRAIL_FIELD(input.interpolation),
                        {Interpolation::bicubic, Interpolation::bilinear}, "how images are resized"));
  rows.push_back(channels("input.mean", VITRAIL_FIELD(input.mean), {.low = -kNoLimit, .high = kNoLimit},
                          "subtracted from samples in [0, 1], by channel"));
  rows.push_back(
      channels("input.std", VITRAIL_FIELD(input.std), kPositive, "divides them after that, by channel"));
}

std::vector<Key> make_table() {
  std::vector<Key> rows;
  add_run_keys(rows);
  add_init_keys(rows);
  add_optimizer_keys(rows);
  add_schedule_keys(rows);
  add_upkeep_keys(rows);
  add_image_keys(rows);
  add_model_keys(rows);
  return rows;
}

const Key& find_key(std::string_view name) {
  for (const Key& key : keys()) {
    if (key.name == name) return key;
  }
  std::vector<std::string> names;
  for (const Key& key : keys())
    names.push_back(key.name);
  const std::string near = nearest(name, names);
  throw ConfigError(fmt::format("unknown setting '{}'{}", name,
                                near.empty() ? std::string("; 'vitrail train --help' lists them all")
                                             : fmt::format("; did you mean '{}'?", near)));
}

}  // namespace

std::span<const Key> keys() {
  static const std::vector<Key> table = make_table();
  return table;
}

void set_key(TrainConfig& config, std::string_view name, std::string_view value) {
  find_key(name).set(config, value);
}

int setting_rank(std::string_view name) {
  if (name == "model") return 0;
  return name == "model.mlp_ratio" ? 2 : 1;
}

std::vector<std::string> to_settings(const TrainConfig& config) {
  std::vector<std::string> settings;
  for (const Key& key : keys()) {
    const std::string value = key.get(config);
    if (!value.empty()) settings.push_back(key.name + "=" + value);
  }
  return settings;
}

TrainConfig from_settings(std::span<const std::string> settings) {
  std::vector<std::string_view> ordered(settings.begin(), settings.end());
  const auto name_in = [](std::string_view setting) { return setting.substr(0, setting.find('=')); };
  std::stable_sort(ordered.begin(), ordered.end(), [&](std::string_view a, std::string_view b) {
    return setting_rank(name_in(a)) < setting_rank(name_in(b));
  });
  TrainConfig config;
  for (const std::string_view setting : ordered) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string_view::npos) {
      throw ConfigError(fmt::format("expected KEY=VALUE, found '{}'", setting));
    }
    set_key(config, setting.substr(0, equals), setting.substr(equals + 1));
  }
  return config;
}

}  // namespace vitrail
