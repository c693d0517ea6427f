#include <fmt/format.h>

#include <algorithm>

#include "engine/app/commands.h"
#include "engine/app/platform.h"
#include "engine/app/random_images.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/trainer.h"

namespace vitrail::app {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  vitrail bench                                          vit_tiny_patch16_224, batch 8\n"
    "  vitrail bench vit_small_patch16_224 batch=16 steps=5\n"
    "  vitrail bench custom model.img_size=28 model.patch_size=4 model.dim=128 model.heads=4 --json\n\n"
    "May be set: batch, steps, accumulate, dtype, threads, gemm, isa, device, model.*, opt.*.";

struct BenchOptions {
  std::string model = "vit_tiny_patch16_224";
  std::vector<std::string> settings;
  bool json = false;
};

struct BenchResult {
  std::int64_t steps = 0;
  double step_seconds = 0, inference_seconds = 0;  // medians, of one batch
  std::map<std::string, OpTime> ops;               // of the training steps
  MemoryPlan memory;
  std::int64_t parameters = 0;
};

RunConfig bench_config(const BenchOptions& options) {
  std::vector<Setting> settings = parse_arguments(options.settings);
  settings.push_back({"model", options.model, "command line"});
  RunConfig config;
  config.train.batch = 8;
  config.train.steps = 5;
  apply(config, std::move(settings));
  if (config.train.steps == 0) throw ConfigError("steps: expected a whole number, at least 1, found '0'");
  config.train.augment.flip = 0;
  config.train.save.mode = SaveMode::sync;  // nothing is saved, so nothing is set aside for it
  config.train.input.crop_pct = 1;
  return config;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double timed_step(Trainer& trainer) {
  const Stopwatch watch;
  while (!trainer.advance()) {
  }
  return watch.seconds();
}

void time_training(Console& console, Backend& backend, const RunConfig& config, BenchResult& result) {
  TrainConfig train = config.train;
  train.steps += 1;  // the first one warms up
  Trainer trainer(backend, train, random_images(train.model, train.batch * 4), 1);
  result.memory = trainer.memory();
  result.parameters = trainer.parameters();
  timed_step(trainer);
  backend.set_profiling(true);
  std::vector<double> seconds;
  while (!trainer.done()) {
    console.announce(fmt::format("training step {} of {}", trainer.step(), config.train.steps));
    seconds.push_back(timed_step(trainer));
  }
  result.ops = backend.profile();
  backend.set_profiling(false);
  result.steps = config.train.steps;
  result.step_seconds = median(seconds);
}

void time_inference(Console& console, Backend& backend, const RunConfig& config, BenchResult& result) {
  const VitConfig& model = config.train.model;
  const ParamSet params(backend, model, config.train.dtype);
  init_params(backend, model, params, config.train.seed);
  Classifier classifier(backend, model, params, config.train.batch);
  const std::vector<float> images(
      static_cast<std::size_t>(config.train.batch * model.in_chans * model.img_size * model.img_size), 0.5f);
  classifier.logits(images);
  std::vector<double> seconds;
  for (std::int64_t i = 0; i < config.train.steps; ++i) {
    console.announce(fmt::format("inference {} of {}", i + 1, config.train.steps));
    const Stopwatch watch;
    classifier.logits(images);
    seconds.push_back(watch.seconds());
  }
  result.inference_seconds = median(seconds);
}

// Share of each op in the time of all, largest first.
std::vector<std::pair<std::string, double>> shares(const BenchResult& result) {
  double total = 0;
  for (const auto& [op, time] : result.ops)
    total += time.seconds;
  std::vector<std::pair<std::string, double>> shares;
  for (const auto& [op, time] : result.ops)
    shares.emplace_back(op, total > 0 ? time.seconds / total : 0);
  std::stable_sort(shares.begin(), shares.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return shares;
}

struct Rates {
  double train_images, train_gflops, infer_images, infer_gflops;  // a second
};

Rates rates(const BenchResult& result, const TrainConfig& config) {
  const double batch = double(config.batch), flops = double(forward_flops(config.model)) / 1e9;
  const double train = batch / result.step_seconds, infer = batch / result.inference_seconds;
  return {train, 3 * flops * train, infer, flops * infer};
}

nlohmann::ordered_json to_json(const BenchResult& result, const RunConfig& config, const BackendInfo& info) {
  const Rates rate = rates(result, config.train);
  nlohmann::ordered_json ops = nlohmann::ordered_json::object();
  for (const auto& [op, share] : shares(result))
    ops[op] = share;
  return {
      {"model", config.train.model.name},
      {"batch", config.train.batch},
      {"steps", result.steps},
      {"dtype", name_of(config.train.dtype)},
      {"device", device_json(info)},
      {"parameters", result.parameters},
      {"train",
       {{"seconds_per_step", result.step_seconds},
        {"images_per_second", rate.train_images},
        {"gflops_per_second", rate.train_gflops}}},
      {"inference",
       {{"seconds_per_batch", result.inference_seconds},
        {"images_per_second", rate.infer_images},
        {"gflops_per_second", rate.infer_gflops}}},
      {"ops", ops},
      {"memory",
       {{"planned_bytes", result.memory.total()}, {"peak_resident_bytes", memory_state().peak_resident}}}};
}

void show(Console& console, const BenchResult& result, const RunConfig& config, const BackendInfo& info) {
  const Rates rate = rates(result, config.train);
  console.line(fmt::format("{}  {}", version_text(), build_text()));
  console.row("Device", device_text(info));
  console.row("Model", fmt::format("{}  {} parameters  batch {}  {}  medians of {} steps",
                                   config.train.model.name, parameters_text(result.parameters),
                                   config.train.batch, name_of(config.train.dtype), result.steps));
  console.row("Training", fmt::format("{:.1f} img/s  {:.0f} GF/s in matrix products  {:.1f} ms a step",
                                      rate.train_images, rate.train_gflops, 1e3 * result.step_seconds));
  console.row("Inference", fmt::format("{:.1f} img/s  {:.0f} GF/s in matrix products  {:.1f} ms a batch",
                                       rate.infer_images, rate.infer_gflops, 1e3 * result.inference_seconds));
  const char* label = "Ops";
  for (const auto& [op, share] : shares(result)) {
    console.row(label, fmt::format("{:5.1f} %  {}", 100 * share, op));
    label = "";
  }
  console.row("Memory",
              fmt::format("{} planned for training  {} peak of the process",
                          bytes_text(result.memory.total()), bytes_text(memory_state().peak_resident)));
}

ExitCode bench(Console& console, const BenchOptions& options) {
  console.set_quiet(options.json);
  BenchOptions given = options;
  // `vitrail bench batch=16` names no model.
  if (given.model.find('=') != std::string::npos) {
    given.settings.insert(given.settings.begin(), given.model);
    given.model = BenchOptions{}.model;
  }
  const RunConfig config = bench_config(given);
  const std::unique_ptr<Backend> backend = open_device(config);
  BenchResult result;
  time_training(console, *backend, config, result);
  time_inference(console, *backend, config, result);
  if (options.json) {
    console.document(to_json(result, config, backend->info()).dump(2));
  } else {
    show(console, result, config, backend->info());
  }
  return ExitCode::done;
}

}  // namespace

void add_bench(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("bench", "Time training steps and inference on random images");
  auto options = std::make_shared<BenchOptions>();
  command->add_option("model", options->model, "a timm name; default " + options->model);
  command->add_option("settings", options->settings, "KEY=VALUE, see below");
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kExamples);
  command->callback(
      [&console, &action, options] { action = [&console, options] { return bench(console, *options); }; });
}

}  // namespace vitrail::app
