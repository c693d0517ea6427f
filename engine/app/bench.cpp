#include <fmt/format.h>

#include "engine/app/bench_table.h"
#include "engine/app/commands.h"
#include "engine/app/machine_choices.h"
#include "engine/app/platform.h"
#include "engine/app/random_images.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/ready_model.h"
#include "engine/trainer.h"
#include "kernels/check.h"

namespace vitrail::app {
namespace {

constexpr const char* kBenchExamples =
    "Examples:\n"
    "  vitrail bench                                          vit_tiny_patch16_224, batch 8\n"
    "  vitrail bench vit_small_patch16_224 batch=16 steps=5\n"
    "  vitrail bench custom model.img_size=28 model.patch_size=4 model.dim=128 model.heads=4 --json\n\n"
    "May be set: batch, steps, accumulate, dtype, memory.*, threads, gemm, isa, pin, device, model.*, opt.*.";

struct BenchOptions {
  std::string model = "vit_tiny_patch16_224";
  std::vector<std::string> settings;
  std::string only;  // "train", "infer", or both
  bool json = false;

  bool trains() const { return only != "infer"; }
  bool infers() const { return only != "train"; }
};

struct BenchResult {
  Profile training, inference;
  DevicePeak peak;
  MemoryPlan memory;
  std::size_t peak_resident = 0;  // of the process, before products are timed alone
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

double timed_step(Trainer& trainer) {
  const Stopwatch watch;
  while (!trainer.advance()) {
  }
  return watch.seconds();
}

void time_training(Console& console, Backend& backend, const RunConfig& config, BenchResult& result) {
  TrainConfig train = config.train;
  // A device that starts a step's ops as one thing does not while they are timed: then each is done twice.
  const bool apart = backend.info().own_memory;
  train.steps += (apart ? train.steps : 0) + 1;  // the first one warms up
  Trainer trainer(backend, train, random_images(train.model, train.batch * 4), 1);
  result.memory = trainer.memory();
  result.parameters = trainer.parameters();
  timed_step(trainer);
  backend.set_profiling(!apart);
  for (std::int64_t step = 1; step <= config.train.steps; ++step) {
    console.announce(fmt::format("training step {} of {}", step, config.train.steps));
    result.training.seconds.push_back(timed_step(trainer));
  }
  if (apart) backend.set_profiling(true);
  while (!trainer.done())
    timed_step(trainer);
  result.training.ops = backend.profile();
  backend.set_profiling(false);
}

void time_inference(Console& console, Backend& backend, const RunConfig& config, BenchResult& result) {
  const VitConfig& model = config.train.model;
  Model random{.config = model,
               .input = config.train.input,
               .labels = {},
               .params = ParamSet(backend, model, statistics_dtype(config.train.dtype))};
  init_params(backend, model, random.params, config.train.seed);
  result.parameters = random.params.parameters();
  const ReadyModel ready = make_ready(std::move(random), backend, config.train.dtype);
  Classifier classifier(backend, model, ready.params, ready.dtype, config.train.batch);
  const std::vector<float> images(
      static_cast<std::size_t>(config.train.batch * model.in_chans * model.img_size * model.img_size), 0.5f);
  classifier.logits(images);
  backend.set_profiling(true);
  for (std::int64_t i = 0; i < config.train.steps; ++i) {
    console.announce(fmt::format("inference {} of {}", i + 1, config.train.steps));
    const Stopwatch watch;
    classifier.logits(images);
    result.inference.seconds.push_back(watch.seconds());
  }
  result.inference.ops = backend.profile();
  backend.set_profiling(false);
}

struct Rates {
  double seconds;         // of one batch: the median
  double images, gflops;  // a second
};

// passes: forward passes that a batch is worth, 3 in training.
Rates rates(const Profile& profile, const TrainConfig& config, double passes) {
  const double seconds = median(profile.seconds), images = double(config.batch) / seconds;
  return {seconds, images, 1e-9 * passes * double(forward_flops(config.model)) * images};
}

nlohmann::ordered_json profile_json(const BenchResult& result, const Profile& profile,
                                    const TrainConfig& config) {
  const bool training = &profile == &result.training;
  const Rates rate = rates(profile, config, training ? 3 : 1);
  return {{training ? "seconds_per_step" : "seconds_per_batch", rate.seconds},
          {"images_per_second", rate.images},
          {"gflops_per_second", rate.gflops},
          {"times_products", times_products(profile)},
          {"ops", rows_json(op_rows(profile, config.dtype, result.peak))}};
}

nlohmann::ordered_json to_json(const BenchResult& result, const RunConfig& config, const BackendInfo& info) {
  nlohmann::ordered_json json = {{"model", config.train.model.name}, {"batch", config.train.batch},
                                 {"steps", config.train.steps},      {"dtype", name_of(config.train.dtype)},
                                 {"device", device_json(info)},      {"peak", peak_json(result.peak)},
                                 {"parameters", result.parameters}};
  if (result.training.ran()) json["train"] = profile_json(result, result.training, config.train);
  if (result.inference.ran()) json["inference"] = profile_json(result, result.inference, config.train);
  json["memory"] = {{"planned_bytes", result.memory.total()}, {"peak_resident_bytes", result.peak_resident}};
  return json;
}

std::string rates_text(const Rates& rate, const Profile& profile) {
  return fmt::format(
      "{:.1f} img/s  {:.0f} GF/s in matrix products  {:.1f} ms, {:.2f} times its products alone", rate.images,
      rate.gflops, 1e3 * rate.seconds, times_products(profile));
}

void show(Console& console, const BenchResult& result, const RunConfig& config, const BackendInfo& info) {
  const TrainConfig& train = config.train;
  console.line(fmt::format("{}  {}", version_text(), build_text()));
  console.row("Device", device_text(info));
  console.row("Peak", peak_text(result.peak, train.dtype));
  console.row("Model", fmt::format("{}  {} parameters  batch {}  {}  medians of {} steps", train.model.name,
                                   parameters_text(result.parameters), train.batch, name_of(train.dtype),
                                   train.steps));
  if (result.training.ran()) {
    console.row("Training", rates_text(rates(result.training, train, 3), result.training));
    show_rows(console, op_rows(result.training, train.dtype, result.peak));
  }
  if (result.inference.ran()) {
    console.row("Inference", rates_text(rates(result.inference, train, 1), result.inference));
    show_rows(console, op_rows(result.inference, train.dtype, result.peak));
  }
  console.row("Memory", fmt::format("{} planned for training  {} peak of the process",
                                    bytes_text(result.memory.total()), bytes_text(result.peak_resident)));
}

ExitCode bench(Console& console, const BenchOptions& options) {
  console.set_quiet(options.json);
  BenchOptions given = options;
  // `vitrail bench batch=16` names no model.
  if (given.model.find('=') != std::string::npos) {
    given.settings.insert(given.settings.begin(), given.model);
    given.model = BenchOptions{}.model;
  }
  RunConfig config = bench_config(given);
  const std::unique_ptr<Backend> backend = open_device(config);
  choose_for_machine(config, {}, backend->info(), memory_available(*backend));
  BenchResult result;
  result.peak = backend->measure_peak();
  if (options.trains()) time_training(console, *backend, config, result);
  if (options.infers()) time_inference(console, *backend, config, result);
  result.peak_resident = memory_state().peak_resident;
  for (Profile* profile : {&result.training, &result.inference})
    profile->products = time_products(*backend, config.train.dtype, profile->ops);
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
  command->add_option("--only", options->only, "train or infer; both otherwise")
      ->check(CLI::IsMember({"train", "infer"}));
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kBenchExamples);
  command->callback(
      [&console, &action, options] { action = [&console, options] { return bench(console, *options); }; });
}

}  // namespace vitrail::app
