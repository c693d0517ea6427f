#include "onnx_export/weights.h"

#include <algorithm>
#include <cassert>
#include <functional>

#include "onnx_export/half.h"

namespace vitrail::onnx_export {
namespace {

// "blocks.0.ls1.gamma" → ".ls1"
std::string folded_suffix(const std::string& gamma) {
  const std::size_t end = gamma.rfind('.');
  return gamma.substr(gamma.rfind('.', end - 1), end - gamma.rfind('.', end - 1));
}

Producer halves(std::vector<float> elements) {
  std::vector<std::uint16_t> result(elements.size());
  std::transform(elements.begin(), elements.end(), result.begin(), to_half);
  return [result = std::move(result)](const Sink& sink) { sink(std::as_bytes(std::span(result))); };
}

}  // namespace

std::vector<float> Weights::read(const std::string& name) const {
  const std::optional<Parameters::Tensor> tensor = parameters_.find(name);
  return tensor ? tensor->floats() : std::vector<float>{};
}

std::optional<Value> Weights::find(const std::string& name) {
  const std::optional<Parameters::Tensor> tensor = parameters_.find(name);
  if (!tensor) return std::nullopt;
  return graph_.floats(name, tensor->dims, tensor->floats());
}

Value Weights::get(const std::string& name) {
  const std::optional<Value> value = find(name);
  assert(value);
  return *value;
}

Matrix Weights::matrix(const std::string& name, const std::string& gamma) const {
  const std::optional<Parameters::Tensor> weight = parameters_.find(name);
  assert(weight);
  std::vector<float> factors = read(gamma);
  if (factors.empty()) return {*weight, nullptr};
  return {*weight, std::make_shared<const std::vector<float>>(std::move(factors))};
}

Value Weights::transposed(const std::string& name, const std::string& gamma, Type type) {
  const Matrix source = matrix(name, gamma);
  const std::string folded = name + ".T" + (source.factors ? folded_suffix(gamma) : "");
  const Dims dims{source.ins(), source.outs()};
  if (type == Type::f32) return graph_.weight(folded, dims, type, transposed_f32(source));
  assert(type == Type::f16);
  return graph_.weight(folded + ".f16", dims, type, transposed_f16(source));
}

Weights::Quantised Weights::quantised(const std::string& name, const std::string& gamma, float limit) {
  const Matrix source = matrix(name, gamma);
  const std::string folded = name + ".T" + (source.factors ? folded_suffix(gamma) : "") + ".i8";
  std::vector<float> scales = int8_scales(source, limit);
  const Value weight =
      graph_.weight(folded, {source.ins(), source.outs()}, Type::i8, transposed_i8(source, scales));
  return {weight, graph_.floats(folded + ".scale", {source.outs()}, std::move(scales))};
}

std::optional<Value> Weights::bias(const std::string& name, const std::string& gamma, Type type) {
  std::vector<float> bias = read(name);
  if (bias.empty()) return std::nullopt;
  const std::vector<float> factors = read(gamma);
  for (std::size_t i = 0; i < factors.size(); ++i)
    bias[i] *= factors[i];
  const std::string folded = name + (factors.empty() ? "" : folded_suffix(gamma));
  const Dims dims{static_cast<std::int64_t>(bias.size())};
  if (type == Type::f32) return graph_.floats(folded, dims, std::move(bias));
  return graph_.weight(folded + ".f16", dims, Type::f16, halves(std::move(bias)));
}

// W·((s/255 − mean)/std) + b = (W/(255·std))·s + (b − Σ W·mean/std), exact since nothing is padded.
Weights::Patches Weights::patches(bool samples) {
  const std::string name = "patch_embed.proj.weight", bias_name = "patch_embed.proj.bias";
  if (!samples) return {get(name), find(bias_name)};
  const Dims dims = parameters_.find(name)->dims;
  std::vector<float> weight = read(name), bias = read(bias_name);
  bias.resize(static_cast<std::size_t>(dims[0]));
  const std::size_t channels = static_cast<std::size_t>(dims[1]),
                    area = static_cast<std::size_t>(dims[2] * dims[3]);
  for (std::size_t d = 0; d < bias.size(); ++d) {
    double sum = bias[d];
    for (std::size_t i = 0; i < channels * area; ++i) {
      float& element = weight[d * channels * area + i];
      const double scaled = element / input_.std[i / area];
      sum -= scaled * input_.mean[i / area];
      element = static_cast<float>(scaled / 255);
    }
    bias[d] = static_cast<float>(sum);
  }
  return {graph_.floats(name + ".bytes", dims, std::move(weight)),
          graph_.floats(bias_name + ".bytes", {dims[0]}, std::move(bias))};
}

std::vector<float> Weights::embedding_rows() const {
  std::vector<float> rows;
  for (const char* name : {"cls_token", "dist_token", "reg_token"}) {
    const std::vector<float> token = read(name);
    rows.insert(rows.end(), token.begin(), token.end());
  }
  rows.resize(static_cast<std::size_t>(config_.tokens() * config_.embed_dim));
  const std::vector<float> pos = read("pos_embed");
  std::transform(pos.rbegin(), pos.rend(), rows.rbegin(), rows.rbegin(), std::plus<>());
  return rows;
}

Value Weights::embedding() {
  if (config_.prefix() == 0) return get("pos_embed");
  return graph_.floats("pos_embed.with_prefix", {1, config_.tokens(), config_.embed_dim}, embedding_rows());
}

Value Weights::prefix(std::int64_t batch) {
  std::vector<float> rows = embedding_rows();
  rows.resize(static_cast<std::size_t>(config_.prefix() * config_.embed_dim));
  return graph_.weight("prefix_tokens", {batch, config_.prefix(), config_.embed_dim}, Type::f32,
                       [rows = std::move(rows), batch](const Sink& sink) {
                         for (std::int64_t i = 0; i < batch; ++i)
                           sink(std::as_bytes(std::span(rows)));
                       });
}

Value Weights::patch_positions() {
  std::vector<float> rows = embedding_rows();
  rows.erase(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(config_.prefix() * config_.embed_dim));
  return graph_.floats("pos_embed.patches", {1, config_.patches(), config_.embed_dim}, std::move(rows));
}

}  // namespace vitrail::onnx_export
