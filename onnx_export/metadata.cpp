#include "onnx_export/metadata.h"

#include <nlohmann/json.hpp>

namespace vitrail::onnx_export {
namespace {

// A label that is no UTF-8 gets U+FFFD for each byte that is not.
std::string text(const nlohmann::json& json) {
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

nlohmann::json by_channel(const std::array<double, 4>& numbers, std::int64_t channels) {
  return std::vector<double>(numbers.begin(), numbers.begin() + channels);
}

}  // namespace

void add_metadata(Graph& graph, const Subject& subject, const ExportOptions& options) {
  const InputConfig& input = subject.input;
  const bool samples = options.input == InputKind::samples;
  graph.metadata("architecture", subject.config.name);
  graph.metadata("channels", text(input.channels));
  graph.metadata("crop_pct", text(input.crop_pct));
  graph.metadata("dtype", std::string(name_of(options.numbers)));
  graph.metadata("input", std::string(name_of(options.input)));
  graph.metadata("interpolation", name_of(input.interpolation));
  graph.metadata("labels", text(subject.labels));
  graph.metadata("layout", samples ? std::string(name_of(options.layout)) : "nchw");
  graph.metadata("mean", text(by_channel(input.mean, input.channels)));
  graph.metadata("output", std::string(name_of(options.output)));
  graph.metadata("prepares", options.any_size ? "all" : samples ? "normalisation" : "nothing");
  graph.metadata("producer", std::string("vitrail ") + VITRAIL_VERSION);
  graph.metadata("profile", std::string(name_of(options.profile)));
  graph.metadata("size", text(input.size));
  graph.metadata("std", text(by_channel(input.std, input.channels)));
}

}  // namespace vitrail::onnx_export
