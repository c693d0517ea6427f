#include <fmt/format.h>

#include <algorithm>

#include "engine/app/banner.h"
#include "engine/app/commands.h"
#include "engine/app/machine_choices.h"
#include "engine/app/platform.h"
#include "engine/app/run_lock.h"
#include "engine/app/signals.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/app/training.h"
#include "engine/error.h"
#include "engine/key_parse.h"
#include "engine/model_io.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kResumeExamples =
    "Examples:\n"
    "  vitrail resume runs/flowers-1\n"
    "  vitrail resume runs/flowers-1 epochs=+10      ten epochs more than planned; epochs=30 makes it 30 in "
    "all\n"
    "  vitrail resume runs/flowers-1 threads=8       results do not depend on the number of threads\n\n"
    "May be set: epochs, steps, data (where it is now), threads, data_threads, device, gemm, isa, pin, "
    "log_every,\n"
    "save.every_steps, save.mode, save.keep, save.keep_every, memory.recompute.";

const std::vector<std::string>& allowed_settings() {
  static const std::vector<std::string> names = {"epochs",
                                                 "steps",
                                                 "data",
                                                 "threads",
                                                 "data_threads",
                                                 "device",
                                                 "gemm",
                                                 "isa",
                                                 "pin",
                                                 "log_every",
                                                 "save.every_steps",
                                                 "save.mode",
                                                 "save.keep",
                                                 "save.keep_every",
                                                 "memory.recompute"};
  return names;
}

struct Newest {
  fs::path checkpoint;
  std::vector<fs::path> damaged;  // newer ones
};

// The newest checkpoint whose every byte is as it was written; damaged ones are named. Throws FormatError
// about the newest when none is left.
Newest find_newest(Console& console, const RunFolder& folder) {
  const std::vector<FoundCheckpoint> files = folder.checkpoints();
  if (files.empty()) {
    throw ConfigError(
        fmt::format("{}: expected last.vitrail, found no checkpoint; start it again with 'vitrail train "
                    "config={} out=FOLDER'",
                    folder.path().string(), folder.config().string()));
  }
  Newest newest;
  std::exception_ptr first;
  for (const FoundCheckpoint& file : files) {
    try {
      if (!file.head) (void)read_checkpoint_head(file.path);
      format::Container::open(file.path).verify_all();
      newest.checkpoint = file.path;
      return newest;
    } catch (const format::FormatError& error) {
      if (!first) first = std::current_exception();
      newest.damaged.push_back(file.path);
      if (files.size() > 1)
        console.warning(fmt::format("{} is damaged: {}", file.path.string(), error.what()));
    } catch (const format::FileError& error) {
      if (!first) first = std::current_exception();
      console.warning(fmt::format("{} is left out: {}", file.path.string(), error.what()));
    }
  }
  std::rethrow_exception(first);
}

// "+5" adds to `now`; "30" stands for itself. Below `now` is refused: the run has planned, or done, more.
std::int64_t extended(const std::string& name, const std::string& text, std::int64_t now) {
  constexpr WholeRange kRange{.low = 1, .high = 1'000'000'000};
  if (text.starts_with('+')) return now + parse_whole(name, text.substr(1), kRange);
  const std::int64_t total = parse_whole(name, text, kRange);
  if (total < now) {
    throw ConfigError(
        fmt::format("{}: expected at least the run's {}, or +N for more, found {}", name, now, total));
  }
  return total;
}

// Applies epochs= and steps= and takes them out of the list. True when the run became longer.
bool extend(TrainConfig& config, std::int64_t total_steps, std::vector<Setting>& settings) {
  const TrainConfig before = config;
  for (const Setting& setting : settings) {
    if (setting.name == "epochs") {
      if (config.steps > 0) throw ConfigError("epochs: this run counts steps; use steps=+N");
      config.epochs = extended("epochs", setting.value, config.epochs);
    } else if (setting.name == "steps") {
      config.steps = extended("steps", setting.value, total_steps);
    }
  }
  std::erase_if(settings, [](const Setting& s) { return s.name == "epochs" || s.name == "steps"; });
  return !(config == before);
}

struct Resumption {
  RunConfig config;
  fs::path checkpoint;
  std::vector<fs::path> damaged;
  bool extended = false;
};

Resumption read_resumption(Console& console, const RunFolder& folder,
                           const std::vector<std::string>& arguments) {
  std::vector<Setting> settings = parse_arguments(arguments);
  allow_only(settings, "resume", allowed_settings());
  Resumption resumption;
  Newest newest = find_newest(console, folder);
  resumption.checkpoint = std::move(newest.checkpoint);
  resumption.damaged = std::move(newest.damaged);
  RunConfig& config = resumption.config;
  if (fs::exists(folder.config())) apply(config, read_settings_file(folder.config()));
  const SaveMode mode = config.train.save.mode;  // which a checkpoint does not tell
  config.train = read_train_config(resumption.checkpoint);
  config.train.save.mode = mode;
  config.out = folder.path();
  resumption.extended = extend(config.train, get_model_info(resumption.checkpoint).total_steps, settings);
  if (resumption.extended) config.origins["epochs"] = config.origins["steps"] = "vitrail resume";
  apply(config, std::move(settings));
  return resumption;
}

std::string exactness(const Resumption& resumption, const std::string& difference) {
  if (resumption.extended) return "no, because the run is longer than planned, and so is its schedule";
  return difference.empty() ? "yes" : "no, because " + difference;
}

void show_position(Console& console, const Trainer& trainer, const Resumption& resumption,
                   const std::string& exact) {
  const std::int64_t step = trainer.step(), per_epoch = trainer.steps_per_epoch();
  const std::int64_t batch = trainer.config().batch;
  console.row("Resume",
              fmt::format("{} at step {} of {}{}, epoch {}, sample {} of {}; bit-exact: {}",
                          resumption.checkpoint.string(), step, trainer.total_steps(),
                          trainer.mid_step() ? ", in the middle of the next" : "", step / per_epoch + 1,
                          count_text(step % per_epoch * batch), count_text(per_epoch * batch), exact));
}

// The folder as an uninterrupted run would have left it: no damaged files among the good, last.vitrail the
// one to go on from, and whatever the last save had no time for.
void take_possession(Console& console, const RunFolder& folder, const Resumption& resumption,
                     const RetentionPolicy& policy) {
  folder.remove_temporaries();
  folder.set_aside(resumption.damaged);
  folder.make_last(resumption.checkpoint);
  try {
    folder.retain(policy);
  } catch (const std::runtime_error& error) {
    console.warning(fmt::format("earlier checkpoints could not be put in order: {}", error.what()));
  }
}

ExitCode go_on(Console& console, RunFolder& folder, Resumption resumption) {
  RunConfig& config = resumption.config;
  const std::unique_ptr<Backend> backend = open_device(config);
  show_program(console, backend->info(), folder.path());
  console.announce(fmt::format("reading {}", config.train.data));
  const Stopwatch watch;
  const DataSource data =
      open_data(config.train.data, {.val_fraction = config.train.val_fraction, .seed = config.train.seed});
  const double data_seconds = watch.seconds();
  const std::vector<Choice> choices =
      choose_recompute(config, data, backend->info(), memory_available(*backend));
  Trainer trainer(*backend, config.train, data, data_threads(config, backend->info()));
  trainer.load(resumption.checkpoint);
  const nlohmann::ordered_json arithmetic = arithmetic_json(backend->info());
  const nlohmann::ordered_json before =
      folder.read_status().value("arithmetic", nlohmann::ordered_json::object());
  show_position(console, trainer, resumption,
                exactness(resumption, arithmetic_difference(before, arithmetic)));
  take_possession(console, folder, resumption, retention(config, data));
  if (trainer.done() && !trainer.at_epoch_end()) {
    console.line(fmt::format("This run is finished. For more: vitrail resume {} {}", folder.path().string(),
                             config.train.steps > 0 ? "steps=+1000" : "epochs=+10"));
    return ExitCode::done;
  }
  folder.rewind_metrics(trainer.step());
  folder.write_text("config.toml", to_toml(config));
  show_data(console, data, data_seconds);
  show_choices(console, choices);
  show_plan(console, trainer, *backend);
  return TrainingLoop(console, folder, trainer, data, config, arithmetic).run();
}

ExitCode resume(Console& console, const std::string& run, const std::vector<std::string>& arguments) {
  catch_stop_signals();
  RunFolder folder = RunFolder::open(run);
  const RunLock lock(folder.path());
  console.announce(fmt::format("checking the checkpoints of {}", run));
  Resumption resumption = read_resumption(console, folder, arguments);
  console.set_interval(resumption.config.log_every);
  console.log_to(folder.log());
  return go_on(console, folder, std::move(resumption));
}

}  // namespace

void add_resume(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("resume", "Go on with a run, bit for bit, or make it longer");
  auto run = std::make_shared<std::string>();
  auto settings = std::make_shared<std::vector<std::string>>();
  command->add_option("run", *run, "the run's folder")->required();
  command->add_option("settings", *settings, "KEY=VALUE, see below");
  command->footer(kResumeExamples);
  command->callback([&console, &action, run, settings] {
    action = [&console, run, settings] { return resume(console, *run, *settings); };
  });
}

}  // namespace vitrail::app
