#include "engine/app/beginning.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/key_parse.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

// A value from the file, unless the user told another.
void set_from_file(RunConfig& config, const std::string& name, const std::string& value,
                   const std::string& origin) {
  const auto told = config.origins.find(name);
  if (told != config.origins.end() && told->second != origin) return;
  set_key(config.train, name, value);
  config.origins[name] = origin;
}

bool told_by_user(const RunConfig& config, std::string_view name, const std::string& origin) {
  const auto told = config.origins.find(name);
  return told != config.origins.end() && told->second != origin;
}

std::string resume_origin(const std::string& file) {
  return "resume_from=" + file;
}

// Of a checkpoint that PyTorch has gone on with after us: its optimizer decides, and rounding must not.
void set_optimizer(RunConfig& config, const OptimizerConfig& opt, const std::string& origin) {
  set_from_file(config, "opt.kind", name_of(opt.kind), origin);
  set_from_file(config, "opt.weight_decay", to_text(opt.weight_decay), origin);
  set_from_file(config, "opt.decay_all", opt.decay_all ? "true" : "false", origin);
  if (std::abs(config.train.opt.layer_decay - opt.layer_decay) > 1e-8)
    set_from_file(config, "opt.layer_decay", to_text(opt.layer_decay), origin);
  set_from_file(config, "opt.beta1", to_text(opt.beta1), origin);
  set_from_file(config, "opt.beta2", to_text(opt.beta2), origin);
  set_from_file(config, "opt.eps", to_text(opt.eps), origin);
}

}  // namespace

FileBeginning::FileBeginning(const RunConfig& config, Backend& backend)
    : backend_(backend), seed_(config.train.seed) {
  const TrainConfig& train = config.train;
  const bool goes_on = !train.resume_from.empty();
  const std::string& name = goes_on ? train.resume_from : train.init.file;
  origin_ = goes_on ? resume_origin(name) : "init=" + name;
  const std::filesystem::path path = source_file(name, goes_on ? Prefer::last : Prefer::best);
  if (goes_on && !is_foreign(path)) {
    throw ConfigError(
        fmt::format("resume_from: {} is a checkpoint of Vitrail, not of PyTorch; use 'vitrail resume RUN' to "
                    "go on with its run, "
                    "or init={} to take its weights",
                    path.string(), name));
  }
  file_ = open_foreign(path);
  options_ = import_options(config);
  if (!goes_on) return;
  const auto kind = told_by_user(config, "opt.kind", origin_) ? std::optional(train.opt.kind) : std::nullopt;
  training_.emplace(take_over(file_, backend, options_, kind));
  import_ = training_->import;
}

std::vector<Choice> FileBeginning::fit(RunConfig& config, const DataSource& data, Console& console) {
  if (training_) {
    fit_training(config, console);
  } else {
    fit_weights(config, data, console);
  }
  const Recipe& recipe = training_ ? takeover_recipe() : finetune_recipe();
  return choose_for(config, data, recipe, import_, origin_);
}

void FileBeginning::fit_weights(RunConfig& config, const DataSource& data, Console& console) {
  if (!options_.num_classes) options_.num_classes = static_cast<std::int64_t>(data.class_names.size());
  import_ = recognise(file_, options_);
  console.row("Init", fmt::format("{}  {}", config.train.init.file, import_.family));
  show_lines(console, "", file_.notes);
  show_lines(console, "", import_.lines);
}

void FileBeginning::fit_training(RunConfig& config, Console& console) {
  const TorchTraining& found = *training_;
  set_optimizer(config, found.opt, origin_);
  // The optimizer's file tells a learning rate and no more; a schedule is known when we made the file, or
  // told.
  if (config.told("schedule.kind")) {
    set_from_file(config, "opt.lr", to_text(found.initial_lr.value_or(found.opt.lr)), origin_);
  } else {
    set_from_file(config, "schedule.kind", "constant", origin_);
    set_from_file(config, "schedule.warmup_steps", "0", origin_);
    set_from_file(config, "opt.lr", to_text(found.opt.lr), origin_);
  }
  if (!config.told("opt.clip_norm")) set_from_file(config, "opt.clip_norm", "0", origin_);
  if (!config.told("augment.flip")) set_from_file(config, "augment.flip", "0", origin_);
  const OptimizerConfig& opt = config.train.opt;
  console.row("Takes over", fmt::format("{}  {}  {} steps done", config.train.resume_from, import_.family,
                                        count_text(found.step)));
  show_lines(console, "", import_.lines);
  console.row(
      "", fmt::format("opt.kind={} opt.lr={} opt.beta1={} opt.beta2={} opt.eps={} opt.weight_decay={} "
                      "opt.decay_all={} opt.layer_decay={} schedule.kind={}",
                      name_of(opt.kind), to_text(opt.lr), to_text(opt.beta1), to_text(opt.beta2),
                      to_text(opt.eps), to_text(opt.weight_decay), opt.decay_all, to_text(opt.layer_decay),
                      name_of(config.train.schedule.kind)));
  if (carried_settings(file_).empty()) {
    console.row("",
                "the file does not tell batch, clipping, smoothing, dropout, augmentation and schedule: set "
                "here what "
                "PyTorch had");
  }
}

void FileBeginning::hand_over(Trainer& trainer, Console& console) {
  if (!training_) {
    const ImportedModel imported = import_model(file_, backend_, options_, seed_);
    trainer.begin_from({.weights = imported.model.params});
  } else {
    if (trainer.total_steps() <= training_->step) {
      throw ConfigError(fmt::format(
          "epochs: {} steps are done already, and this run would end after {}; use epochs={} "
          "or more",
          training_->step, trainer.total_steps(), training_->step / trainer.steps_per_epoch() + 1));
    }
    const bool average = trainer.config().ema.decay > 0;
    if (training_->ema && !average)
      console.row("Note", "the file's moving average of the weights is left out; ema.decay= goes on with it");
    trainer.begin_from({.weights = training_->model.params,
                        .first_moment = &training_->first_moment,
                        .second_moment = &training_->second_moment,
                        .ema = training_->ema ? &*training_->ema : nullptr,
                        .step = training_->step});
  }
  training_.reset();
  file_ = {};
}

RunConfig read_train_arguments(const std::vector<std::string>& arguments) {
  RunConfig config = read_run_config(arguments);
  const std::string& name = config.train.resume_from;
  if (name.empty()) return config;
  if (!config.train.init.file.empty()) {
    throw ConfigError(
        "init and resume_from: expected one of them, found both: init takes the weights alone, resume_from "
        "the "
        "optimizer's moments and the steps too");
  }
  const std::filesystem::path path = source_file(name, Prefer::last);
  if (!is_foreign(path)) return config;
  std::vector<Setting> settings;
  for (const std::string& setting : carried_settings(open_foreign(path))) {
    const std::size_t equals = setting.find('=');
    if (equals == std::string::npos || setting.starts_with("init") || setting.starts_with("resume_from="))
      continue;
    settings.push_back({setting.substr(0, equals), setting.substr(equals + 1), resume_origin(name)});
  }
  RunConfig base;
  apply(base, std::move(settings));
  return read_run_config(arguments, std::move(base));
}

}  // namespace vitrail::app
