#include <fmt/format.h>

#include "engine/app/banner.h"
#include "engine/app/beginning.h"
#include "engine/app/commands.h"
#include "engine/app/machine_choices.h"
#include "engine/app/platform.h"
#include "engine/app/run_lock.h"
#include "engine/app/settings_help.h"
#include "engine/app/signals.h"
#include "engine/app/stopwatch.h"
#include "engine/app/training.h"
#include "engine/error.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

constexpr const char* kTrainExamples =
    "Examples:\n"
    "  vitrail train data=fashion-mnist\n"
    "  vitrail train data=flowers/ model=vit_tiny_patch16_224 epochs=30 out=runs/flowers-tiny\n"
    "  vitrail train data=flowers/ opt.lr=3e-4 accumulate=4 save.every_steps=500\n"
    "  vitrail train data=flowers/ batch=1024 accumulate=auto memory.limit=8GiB dtype=auto\n"
    "  vitrail train data=flowers/ init=vit_small.safetensors     fine-tunes weights of timm, Hugging Face, "
    "…\n"
    "  vitrail train data=flowers/ resume_from=checkpoint.pt      goes on with a training of PyTorch\n"
    "  vitrail train config=runs/flowers-1/config.toml seed=2\n";

RunConfig read_config(const std::vector<std::string>& arguments) {
  RunConfig config = read_train_arguments(arguments);
  if (config.train.data.empty()) {
    throw ConfigError(
        "train: expected data=FOLDER or data=fashion-mnist, found neither; see 'vitrail train --help'");
  }
  if (config.out.empty()) config.out = RunFolder::next_free(config.train.data);
  return config;
}

void check_classes(const TrainConfig& config, const DataSource& data) {
  const auto classes = static_cast<std::int64_t>(data.class_names.size());
  if (config.model.num_classes < classes) {
    throw ConfigError(fmt::format("model.num_classes: expected at least the data's {} classes, found {}",
                                  classes, config.model.num_classes));
  }
}

// Null where training begins with random weights.
std::unique_ptr<FileBeginning> open_beginning(const RunConfig& config, Backend& backend, Console& console) {
  const std::string& name =
      config.train.resume_from.empty() ? config.train.init.file : config.train.resume_from;
  if (name.empty()) return nullptr;
  console.announce(fmt::format("reading {}", name));
  return std::make_unique<FileBeginning>(config, backend);
}

ExitCode train(Console& console, const std::vector<std::string>& arguments) {
  catch_stop_signals();
  RunConfig config = read_config(arguments);
  console.set_interval(config.log_every);
  const std::unique_ptr<Backend> backend = open_device(config);
  RunFolder folder = RunFolder::create(config.out);
  const RunLock lock(folder.path());
  console.log_to(folder.log());
  show_program(console, backend->info(), folder.path());
  console.announce(fmt::format("reading {}", config.train.data));

  const Stopwatch watch;
  const DataSource data =
      open_data(config.train.data, {.val_fraction = config.train.val_fraction, .seed = config.train.seed});
  show_data(console, data, watch.seconds());
  const std::unique_ptr<FileBeginning> file = open_beginning(config, *backend, console);
  console.announce("looking at the images");
  show_choices(console, file ? file->fit(config, data, console) : choose(config, data));
  show_choices(console, choose_for_machine(config, data, backend->info(), memory_available(*backend)));
  config.train.check();
  check_classes(config.train, data);

  console.announce("making the network");
  Trainer trainer(*backend, config.train, data, data_threads(config, backend->info()));
  if (file) file->hand_over(trainer, console);
  folder.write_text("config.toml", to_toml(config));
  show_plan(console, trainer, *backend);
  return TrainingLoop(console, folder, trainer, data, config, arithmetic_json(backend->info())).run();
}

}  // namespace

void add_train(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("train", "Train a network; only data= is needed");
  auto settings = std::make_shared<std::vector<std::string>>();
  command->add_option("settings", *settings, "KEY=VALUE, see below; config=FILE.toml reads them from a file");
  command->footer(kTrainExamples + std::string("\n") + settings_help());
  command->callback(
      [&console, &action, settings] { action = [&console, settings] { return train(console, *settings); }; });
}

}  // namespace vitrail::app
