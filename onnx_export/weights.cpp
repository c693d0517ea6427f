#include "onnx_export/weights.h"

#include <algorithm>
#include <cassert>

#include "engine/transfer.h"

namespace vitrail::onnx_export {
namespace {

// "blocks.0.ls1.gamma" → ".ls1"
std::string folded_suffix(const std::string& gamma) {
  const std::size_t end = gamma.rfind('.');
  return gamma.substr(gamma.rfind('.', end - 1), end - gamma.rfind('.', end - 1));
}

Dims dims_of(const Shape& shape) {
  return {shape.dims.begin(), shape.dims.begin() + shape.rank};
}

}  // namespace

Weights::Weights(Graph& graph, const Model& model, const Backend& backend)
    : graph_(graph), model_(model), backend_(backend) {}

std::vector<float> Weights::read(const std::string& name) const {
  const ParamTensor* tensor = model_.params.find(name);
  if (tensor == nullptr) return {};
  std::vector<float> elements(static_cast<std::size_t>(tensor->view.shape.elements()));
  download_floats(backend_, elements, tensor->view);
  return elements;
}

std::optional<Value> Weights::find(const std::string& name) {
  const std::vector<float> elements = read(name);
  if (elements.empty()) return std::nullopt;
  return graph_.floats(name, dims_of(model_.params.find(name)->view.shape), elements);
}

Value Weights::get(const std::string& name) {
  const std::optional<Value> value = find(name);
  assert(value);
  return *value;
}

Value Weights::transposed(const std::string& name, const std::string& gamma) {
  const std::vector<float> weight = read(name), scale = read(gamma);
  assert(!weight.empty());
  const Shape& shape = model_.params.find(name)->view.shape;
  const std::int64_t outs = shape[0], ins = shape[1];
  std::vector<float> result(weight.size());
  for (std::int64_t o = 0; o < outs; ++o) {
    const float factor = scale.empty() ? 1.0f : scale[static_cast<std::size_t>(o)];
    for (std::int64_t i = 0; i < ins; ++i) {
      result[static_cast<std::size_t>(i * outs + o)] = factor * weight[static_cast<std::size_t>(o * ins + i)];
    }
  }
  return graph_.floats(name + ".T" + (scale.empty() ? "" : folded_suffix(gamma)), {ins, outs}, result);
}

std::optional<Value> Weights::bias(const std::string& name, const std::string& gamma) {
  std::vector<float> bias = read(name);
  if (bias.empty()) return std::nullopt;
  const std::vector<float> scale = read(gamma);
  for (std::size_t i = 0; i < scale.size(); ++i)
    bias[i] *= scale[i];
  return graph_.floats(name + (scale.empty() ? "" : folded_suffix(gamma)),
                       {static_cast<std::int64_t>(bias.size())}, bias);
}

Value Weights::embedding() {
  const VitConfig& config = model_.config;
  if (config.prefix() == 0) return get("pos_embed");
  std::vector<float> rows;
  for (const char* name : {"cls_token", "dist_token", "reg_token"}) {
    const std::vector<float> token = read(name);
    rows.insert(rows.end(), token.begin(), token.end());
  }
  rows.resize(static_cast<std::size_t>(config.tokens() * config.embed_dim));
  const std::vector<float> pos = read("pos_embed");
  std::transform(pos.rbegin(), pos.rend(), rows.rbegin(), rows.rbegin(), std::plus<>());
  return graph_.floats("pos_embed.with_prefix", {1, config.tokens(), config.embed_dim}, rows);
}

}  // namespace vitrail::onnx_export
