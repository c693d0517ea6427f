#include <fmt/format.h>

#include <cmath>

#include "engine/app/commands.h"
#include "engine/app/model_source.h"
#include "engine/app/platform.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/evaluate.h"
#include "engine/keys.h"
#include "engine/model_io.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kEvalExamples =
    "Examples:\n"
    "  vitrail eval runs/flowers-1                    the run's own validation images\n"
    "  vitrail eval runs/flowers-1 data=others/       every image of another folder (its val/ where there is "
    "one)\n"
    "  vitrail eval model.vitrail data=flowers/ --json\n"
    "  vitrail eval timm.safetensors data=imagenet/   a file of another format\n\n"
    "RUN stands for its best.vitrail, or last.vitrail where there is no best.\n"
    "May be set: data, batch, dtype, threads, data_threads, device, gemm, isa, pin; of another format's "
    "file\n"
    "also model, init.norm_eps, init.gelu, init.num_heads, init.normalization.";

struct EvalOptions {
  std::string file;
  std::vector<std::string> settings;
  bool json = false;
};

struct EvalData {
  std::string spec, part;
  std::vector<std::string> class_names;
  std::shared_ptr<const Dataset> images;
};

// The run's configuration where the file has one, with the settings of the command line above it.
RunConfig eval_config(const ModelInfo& info, const std::vector<Setting>& settings) {
  RunConfig config;
  if (!info.settings.empty()) config.train = from_settings(info.settings);
  apply(config, settings);
  if (config.train.data.empty()) {
    throw ConfigError(
        "eval: a model without a run does not know its data; use data=FOLDER or data=fashion-mnist");
  }
  return config;
}

// The validation part as training saw it. Other data: its validation part, or all images where it has none.
EvalData open_eval_data(const RunConfig& config, const ModelInfo& info) {
  const bool own = !info.settings.empty() && from_settings(info.settings).data == config.train.data;
  const DataSource data = open_data(
      config.train.data, {.val_fraction = own ? config.train.val_fraction : 0, .seed = config.train.seed});
  if (data.val) return {data.spec, "validation", data.class_names, data.val};
  if (own)
    throw DataError(fmt::format("{}: expected validation images, found none; use data=FOLDER", data.spec));
  return {data.spec, "all", data.class_names, data.train};
}

void check_classes(const ModelInfo& info, const EvalData& data) {
  if (info.labels.empty() || info.labels == data.class_names) return;
  throw ConfigError(fmt::format("data: expected the model's {} classes ({}, …), found {} ({}, …) in {}",
                                info.labels.size(), info.labels.front(), data.class_names.size(),
                                data.class_names.empty() ? "" : data.class_names.front(), data.spec));
}

nlohmann::ordered_json to_json(const EvalReport& report, const EvalData& data, const fs::path& file,
                               DType dtype, double seconds) {
  const std::size_t classes = data.class_names.size();
  nlohmann::ordered_json confusion = nlohmann::ordered_json::array();
  const std::size_t columns =
      classes == 0 ? 0 : static_cast<std::size_t>(std::llround(std::sqrt(double(report.confusion.size()))));
  for (std::size_t row = 0; row < columns; ++row) {
    const auto begin = report.confusion.begin() + static_cast<std::ptrdiff_t>(row * columns);
    confusion.push_back(std::vector<std::int64_t>(begin, begin + static_cast<std::ptrdiff_t>(columns)));
  }
  return {{"file", file.string()},
          {"data", data.spec},
          {"part", data.part},
          {"samples", report.samples},
          {"top1", report.top1},
          {"top1_error", report.top1_error},
          {"top5", report.top5},
          {"loss", report.loss},
          {"dtype", name_of(dtype)},
          {"seconds", seconds},
          {"images_per_second", double(report.samples) / seconds},
          {"classes", data.class_names},
          {"confusion", confusion}};
}

void show(Console& console, const EvalReport& report, const EvalData& data, const fs::path& file, DType dtype,
          double seconds) {
  console.row("Model", file.string());
  console.row("Data", fmt::format("{}  {} images ({})", data.spec, count_text(report.samples), data.part));
  console.row("Eval", fmt::format("top1 {:.2f} ±{:.2f} %  top5 {:.2f} %  loss {:.4f}", report.top1,
                                  report.top1_error, report.top5, report.loss));
  console.row("Time", fmt::format("{:.1f} s in {}  {} img/s", seconds, name_of(dtype),
                                  count_text(std::int64_t(double(report.samples) / seconds))));
}

ExitCode eval(Console& console, const EvalOptions& options) {
  console.set_quiet(options.json);
  const std::vector<Setting> settings = parse_arguments(options.settings);
  const std::vector<std::string> allowed = {
      "data", "batch", "dtype", "threads",       "data_threads", "device",         "gemm",
      "isa",  "pin",   "model", "init.norm_eps", "init.gelu",    "init.num_heads", "init.normalization"};
  allow_only(settings, "eval", allowed);
  const fs::path file = source_file(options.file, Prefer::best);
  ModelInfo info = is_foreign(file) ? ModelInfo{} : get_model_info(file);
  const RunConfig config = eval_config(info, settings);
  const std::unique_ptr<Backend> backend = open_device(config);
  const LoadedReady loaded = load_ready(file, *backend, config);
  const ReadyModel& model = loaded.model;
  info.labels = model.labels;
  console.announce(fmt::format("reading {}", config.train.data));
  const EvalData data = open_eval_data(config, info);
  check_classes(info, data);
  Classifier classifier(*backend, model.config, model.params, model.dtype, config.train.batch);
  const Stopwatch watch;
  const EvalReport report = evaluate(
      classifier, data.images, model.input, data_threads(config, backend->info()),
      [&](std::int64_t done, std::int64_t total) {
        if (console.progress_due()) {
          console.progress(fmt::format("evaluated {} of {} images", count_text(done), count_text(total)));
        }
        return true;
      });
  if (options.json) {
    console.document(to_json(report, data, file, model.dtype, watch.seconds()).dump(2));
  } else {
    show(console, report, data, file, model.dtype, watch.seconds());
    show_lines(console, "Note", loaded.lines);
  }
  return ExitCode::done;
}

}  // namespace

void add_eval(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("eval", "Accuracy of a model on labelled images");
  auto options = std::make_shared<EvalOptions>();
  command->add_option("model", options->file, "a run's folder, or a file of weights")->required();
  command->add_option("settings", options->settings, "KEY=VALUE, see below");
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kEvalExamples);
  command->callback(
      [&console, &action, options] { action = [&console, options] { return eval(console, *options); }; });
}

}  // namespace vitrail::app
