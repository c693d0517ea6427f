#include "onnx_export/weights.h"

#include <algorithm>
#include <cassert>
#include <functional>

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

// (rows, columns) → (columns, rows), by tiles that stay in the cache
std::vector<float> transpose(std::span<const float> matrix, std::size_t rows, std::size_t columns) {
  constexpr std::size_t kTile = 32;
  std::vector<float> result(matrix.size());
  for (std::size_t top = 0; top < rows; top += kTile) {
    for (std::size_t left = 0; left < columns; left += kTile) {
      for (std::size_t c = left; c < std::min(left + kTile, columns); ++c) {
        for (std::size_t r = top; r < std::min(top + kTile, rows); ++r) {
          result[c * rows + r] = matrix[r * columns + c];
        }
      }
    }
  }
  return result;
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
  std::vector<float> rows = read(name);
  assert(!rows.empty());
  const std::vector<float> scale = read(gamma);
  const Shape& shape = model_.params.find(name)->view.shape;
  const std::size_t outs = static_cast<std::size_t>(shape[0]), ins = static_cast<std::size_t>(shape[1]);
  for (std::size_t o = 0; o < scale.size(); ++o) {
    for (std::size_t i = 0; i < ins; ++i)
      rows[o * ins + i] *= scale[o];
  }
  return graph_.floats(name + ".T" + (scale.empty() ? "" : folded_suffix(gamma)), {shape[1], shape[0]},
                       transpose(rows, outs, ins));
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
