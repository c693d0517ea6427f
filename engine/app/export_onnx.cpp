#include "engine/app/export_onnx.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/app/export_images.h"
#include "engine/app/export_onnx_options.h"
#include "engine/app/onnx_files.h"
#include "engine/app/platform.h"
#include "engine/app/run_folder.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/keys.h"
#include "onnx_export/closeness.h"
#include "onnx_export/export_vit.h"
#include "onnx_export/runtimes.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;
namespace onnx = onnx_export;

// Images looked at: enough to see outliers, few enough that an export stays a matter of seconds.
constexpr std::int64_t kNoiseImages = 8, kCalibrationImages = 64, kAccuracyImages = 512;

fs::path default_out(const fs::path& run_or_file) {
  if (fs::is_directory(run_or_file)) return run_or_file / "model.onnx";
  return fs::path(run_or_file).replace_extension(".onnx");
}

std::optional<DataSource> open_images(const OnnxOptions& options, const MappedModel& model) {
  if (options.settings.empty()) return std::nullopt;
  const std::vector<Setting> settings = parse_arguments(options.settings);
  const std::vector<std::string> allowed = {"data"};
  allow_only(settings, "export", allowed);
  RunConfig config;
  apply(config, settings);
  DataSource data = open_data(config.train.data, {.val_fraction = 0, .seed = 0});
  if (!model.labels.empty() && data.class_names != model.labels) {
    throw ConfigError(fmt::format("data: expected the model's {} classes, found {} others in {}",
                                  model.labels.size(), data.class_names.size(), data.spec));
  }
  return data;
}

// One export, from the model's file to the report.
class OnnxExport {
 public:
  OnnxExport(const fs::path& file, const OnnxOptions& options)
      : options_(parsed(options)),
        model_(map_model(file)),
        parameters_(model_),
        weights_(mapped_params(model_)),
        subject_{model_.config, model_.input, model_.labels, parameters_, weights_},
        data_(open_images(options, model_)) {
    check(options_, model_.config, model_.input);
  }

  onnx::ExportResult write(const fs::path& path) {
    const bool narrow = options_.numbers == onnx::Numbers::fp16;
    if (narrow || (options_.numbers == onnx::Numbers::int8_static && data_)) look_at_ranges();
    const onnx::Graph graph = onnx::build_file(subject_, *backend(), options_, ranges_);
    judgements_ = judge(graph);
    return export_graph(path, graph, subject_, options_);
  }

  // Against the engine, in the reference interpreter; nothing for a file in fp32 without images, unless
  // `always`.
  std::optional<onnx::Closeness> measure(bool always) {
    if (options_.numbers == onnx::Numbers::fp32 && !data_ && !always) return std::nullopt;
    onnx::ExportOptions plain{
        .profile = options_.profile, .opset = options_.opset, .numbers = options_.numbers};
    if (plain.profile == onnx::Profile::fixed_batch) plain.profile = onnx::Profile::portable;
    onnx::Comparison comparison(build_vit(subject_, plain, ranges_), model_.config, weights_, *backend());
    if (data_) {
      const PreparedImages images =
          data_images(data_->val ? *data_->val : *data_->train, model_.input, kAccuracyImages);
      comparison.add(images.pixels, images.labels);
    } else {
      comparison.add(noise_images(model_, kNoiseImages).pixels, {});
    }
    return comparison.result();
  }

  bool has_labels() const { return !model_.labels.empty(); }
  const onnx::Ranges& ranges() const { return ranges_; }
  const std::vector<onnx::Judgement>& judgements() const { return judgements_; }

 private:
  Backend* backend() {
    if (!backend_) backend_ = open_device({});
    return backend_.get();
  }

  void look_at_ranges() {
    const PreparedImages images = data_ ? data_images(*data_->train, model_.input, kCalibrationImages)
                                        : noise_images(model_, kNoiseImages);
    observe(ranges_, model_.config, weights_, *backend(), images.pixels);
  }

  onnx::ExportOptions options_;
  MappedModel model_;
  onnx::Parameters parameters_;
  VitParams weights_;
  onnx::Subject subject_;
  std::optional<DataSource> data_;
  std::unique_ptr<Backend> backend_;
  onnx::Ranges ranges_;
  std::vector<onnx::Judgement> judgements_;
};

// What the user should know before sending the file somewhere.
std::vector<std::string> remarks(const onnx::ExportResult& result, const OnnxOptions& options,
                                 const OnnxExport& work) {
  const onnx::Ranges& ranges = work.ranges();
  std::vector<std::string> all;
  if (!work.has_labels())
    all.push_back("the model knows no class names, so the file tells classes by number alone");
  if (result.converted_to_f32) all.push_back("the weights were converted from f64");
  if (!result.checked)
    all.push_back(fmt::format("ONNX's checker in this build knows opsets up to 17 and did not see opset {}",
                              result.opset));
  if (options.input == "uint8" && !options.any_size)
    all.push_back("the graph normalises; resize and crop before it, as metadata say (docs/onnx.md)");
  if (options.input != "uint8") all.push_back("the graph takes prepared images (docs/onnx.md)");
  if (!ranges.empty())
    all.push_back(fmt::format("residual stream within ±{:.0f} on {} images; fp16 ends at 65504",
                              ranges.residual.magnitude(), ranges.images));
  return all;
}

nlohmann::ordered_json to_json(const onnx::Closeness& closeness) {
  nlohmann::ordered_json json = {{"images", closeness.images},
                                 {"largest_difference", closeness.largest_difference},
                                 {"largest_logit", closeness.largest_logit},
                                 {"same_top1", closeness.same_top1}};
  if (closeness.labelled > 0) {
    json["top1_fp32"] = closeness.engine_top1();
    json["top1"] = closeness.graph_top1();
  }
  return json;
}

nlohmann::ordered_json to_json(const std::vector<onnx::Judgement>& judgements) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (const onnx::Judgement& judgement : judgements) {
    json.push_back({{"runtime", judgement.runtime},
                    {"verdict", std::string(name_of(judgement.verdict))},
                    {"reasons", judgement.reasons}});
  }
  return json;
}

nlohmann::ordered_json to_json(const onnx::ExportResult& result, const OnnxOptions& options) {
  nlohmann::ordered_json json = {
      {"file", result.path.string()}, {"bytes", result.bytes},           {"profile", options.profile},
      {"dtype", options.dtype},       {"opset", result.opset},           {"ir_version", result.ir_version},
      {"nodes", result.nodes},        {"parameters", result.parameters}, {"checked", result.checked}};
  if (!result.data_path.empty()) {
    json["data_file"] = result.data_path.string();
    json["data_bytes"] = result.data_bytes;
  }
  return json;
}

void show(Console& console, const onnx::ExportResult& result, const OnnxOptions& options, double seconds) {
  console.row("Graph",
              fmt::format("{}, {}  {} nodes, opset {}, IR {}{}", options.profile, options.dtype, result.nodes,
                          result.opset, result.ir_version, result.checked ? ", checked" : ""));
  console.row("Exported",
              fmt::format("{}  {}  {:.2f} s", result.path.string(), bytes_text(result.bytes), seconds));
  if (!result.data_path.empty())
    console.row("Weights", fmt::format("{}  {}", result.data_path.string(), bytes_text(result.data_bytes)));
}

void show(Console& console, const onnx::Closeness& closeness) {
  console.row("Deviation",
              fmt::format("at most {:.1e} of logits up to {:.1f}; the same first class for {} of {} images",
                          closeness.largest_difference, closeness.largest_logit, closeness.same_top1,
                          closeness.images));
  if (closeness.labelled > 0)
    console.row("Accuracy", fmt::format("top1 {:.2f} % in fp32, {:.2f} % exported, of {} images",
                                        closeness.engine_top1(), closeness.graph_top1(), closeness.labelled));
}

void show(Console& console, const std::vector<onnx::Judgement>& judgements) {
  console.line(fmt::format("Runtimes, as of {}", onnx::kRuntimesAsOf));
  for (const onnx::Judgement& judgement : judgements) {
    std::string text(name_of(judgement.verdict));
    if (!judgement.reasons.empty()) text += fmt::format(": {}", fmt::join(judgement.reasons, "; "));
    console.line(fmt::format("  {:<30}{}", judgement.runtime, text));
  }
}

// Whether an export does what --verify asks of it: the file on the disk proves itself, and in fp32 the graph
// gives the engine's logits.
ExitCode verified(Console& console, const OnnxFileReport& proof, const onnx::Closeness& closeness,
                  bool exact) {
  constexpr double kLimit = 1e-4;  // of a logit, or of the largest where that is above 1
  if (proof.proof != Proof::proven) {
    console.error("the exported file does not prove itself: " + proof.text, "");
    return ExitCode::damaged;
  }
  if (exact && !(closeness.largest_difference <= kLimit * std::max(1.0, closeness.largest_logit))) {
    console.error(
        fmt::format(
            "the exported graph's logits are up to {:.1e} from the engine's, at most {:.0e} is allowed",
            closeness.largest_difference, kLimit * std::max(1.0, closeness.largest_logit)),
        "");
    return ExitCode::damaged;
  }
  return ExitCode::done;
}

}  // namespace

ExitCode export_onnx(Console& console, const std::string& model_name, const std::string& out,
                     const OnnxOptions& options) {
  console.set_quiet(options.json);
  const fs::path file = model_file(model_name, Prefer::best);
  const Stopwatch watch;
  OnnxExport work(file, options);
  const onnx::ExportResult result = work.write(out.empty() ? default_out(model_name) : fs::path(out));
  const double seconds = watch.seconds();
  const std::optional<onnx::Closeness> closeness = work.measure(options.verify);
  std::optional<OnnxFileReport> proof;
  if (options.verify) proof = OnnxVerifier("reference", "").verify(result.path);
  const auto outcome = [&] {
    return proof ? verified(console, *proof, *closeness, options.dtype == "fp32") : ExitCode::done;
  };
  const std::vector<std::string> notes = remarks(result, options, work);
  if (options.json) {
    nlohmann::ordered_json json = to_json(result, options);
    json["model"] = file.string();
    json["seconds"] = seconds;
    if (closeness) json["deviation"] = to_json(*closeness);
    if (proof) json["verified"] = proof->json;
    json["notes"] = notes;
    json["runtimes"] = to_json(work.judgements());
    console.document(json.dump(2));
    return outcome();
  }
  console.row("Model", fmt::format("{}  {} parameters", file.string(), parameters_text(result.parameters)));
  show(console, result, options, seconds);
  if (closeness) show(console, *closeness);
  if (proof) show(console, *proof);
  for (const std::string& note : notes)
    console.row("Note", note);
  show(console, work.judgements());
  return outcome();
}

}  // namespace vitrail::app
