#include "engine/app/export_onnx_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/app/export_onnx.h"
#include "engine/error.h"

namespace vitrail::app {
namespace {

namespace onnx = onnx_export;

template <class Kind, std::size_t kCount>
Kind kind_of(const char* option, const std::array<std::string_view, kCount>& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end())
    throw ConfigError(fmt::format("{}: expected {}, found '{}'", option, fmt::join(names, ", "), name));
  return static_cast<Kind>(found - names.begin());
}

// int8 is static where there are images to calibrate with.
onnx::Numbers numbers_of(const OnnxOptions& options) {
  if (options.dtype != "int8") return kind_of<onnx::Numbers>("--dtype", onnx::kNumberNames, options.dtype);
  return options.settings.empty() ? onnx::Numbers::int8_dynamic : onnx::Numbers::int8_static;
}

std::optional<std::int64_t> batch_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  std::int64_t batch = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, batch);
  if (error != std::errc() || stop != end)
    throw ConfigError(fmt::format("--batch: expected a number or dynamic, found '{}'", text));
  return batch;
}

}  // namespace

onnx::ExportOptions parsed(const OnnxOptions& options) {
  onnx::ExportOptions result;
  result.profile = kind_of<onnx::Profile>("--profile", onnx::kProfileNames, options.profile);
  if (options.batch != "dynamic") result.batch = batch_of(options.batch);
  if (options.batch == "dynamic" && result.profile == onnx::Profile::fixed_batch)
    throw ConfigError("--batch: expected a number for --profile static, found dynamic");
  if (options.opset != 0) result.opset = options.opset;
  result.output = kind_of<onnx::Output>("--output", onnx::kOutputNames, options.output);
  result.top = options.top;
  result.attention = options.blocks;
  result.input = kind_of<onnx::InputKind>("--input", onnx::kInputNames, options.input);
  result.layout = kind_of<onnx::SampleLayout>("--pixels", onnx::kLayoutNames, options.layout);
  result.any_size = options.any_size;
  result.numbers = numbers_of(options);
  result.full_range = options.full_range;
  result.external_data = options.external_data;
  return result;
}

std::shared_ptr<OnnxOptions> add_onnx_options(CLI::App& command) {
  const auto options = std::make_shared<OnnxOptions>();
  const std::string group = "ONNX";
  const auto text = [&](const char* name, std::string& value, const char* what) {
    command.add_option(name, value, what)->group(group)->capture_default_str();
  };
  text("--profile", options->profile, "for whom: portable, static, ort, modern");
  text("--batch", options->batch, "a number, or dynamic: any (static: 1 unless set)");
  command.add_option("--opset", options->opset, "the opset, where the profile allows another")->group(group);
  text("--output", options->output, "logits, probabilities, features, topk, attention");
  command.add_option("--top", options->top, "how many classes topk gives")
      ->group(group)
      ->capture_default_str();
  command.add_option("--blocks", options->blocks, "blocks whose attention is given; the last unless set")
      ->group(group)
      ->delimiter(',');
  text("--input", options->input, "float: prepared; uint8: samples as decoded");
  text("--pixels", options->layout, "order of uint8: nhwc, nchw");
  command.add_flag("--any-size", options->any_size, "with uint8 and modern: the graph resizes and crops")
      ->group(group);
  text("--dtype", options->dtype, "fp32, fp16, int8, int8-dynamic, int8-static, int8-weights");
  command
      .add_flag("--full-range", options->full_range,
                "int8: weights in 8 bits, not 7; for processors with VNNI or the like")
      ->group(group);
  command.add_flag("--external-data", options->external_data, "weights in a file beside")->group(group);
  command
      .add_flag("--verify", options->verify,
                "read the file again, run its self-test and compare it with the engine on images")
      ->group(group);
  command.add_flag("--json", options->json, "one JSON document on standard output")->group(group);
  command
      .add_option("settings", options->settings,
                  "data=FOLDER: images to calibrate int8 with and to measure accuracy on")
      ->group(group);
  return options;
}

}  // namespace vitrail::app
