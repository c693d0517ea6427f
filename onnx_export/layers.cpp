#include "onnx_export/layers.h"

#include <cassert>
#include <cmath>

namespace vitrail::onnx_export {
namespace {

// Half of what fp16 holds: images that nobody has looked at may show more than those that were.
constexpr float kSafeHalf = 32752;

const char* kSkipNorm = "com.microsoft.SkipLayerNormalization";

// "blocks.0.attn.qkv" → "blocks.0.attn"
std::string parent_of(const std::string& module) {
  return module.substr(0, module.rfind('.'));
}

}  // namespace

std::string scope_of(const std::string& module) {
  std::string scope = module;
  for (std::size_t i = 0; i + 1 < scope.size(); ++i) {
    const bool numbered = scope[i + 1] >= '0' && scope[i + 1] <= '9';
    if (scope[i] == '.' && !numbered) scope[i] = '/';
  }
  return scope;
}

Value Layers::norm(const std::string& module, const Value& x) {
  const Value weight = weights_.get(module + ".weight"), bias = weights_.get(module + ".bias");
  return graph_.add(scope_of(module), "LayerNormalization", {x, weight, bias}, {x.dims},
                    {{"axis", static_cast<std::int64_t>(x.dims.size()) - 1}, {"epsilon", config_.norm_eps}});
}

// A half of a block stays in f32 as a whole when one of its layers gives more than fp16 holds.
bool Layers::narrow(const std::string& module) const {
  if (options_.numbers != Numbers::fp16) return false;
  const std::string half = parent_of(module) + ".";
  for (const auto& [name, range] : ranges_.outputs) {
    if (name.starts_with(half) && range.magnitude() > kSafeHalf) return false;
  }
  return true;
}

Product Layers::product(const std::string& module, const Value& x, const std::string& gamma) {
  const bool quantised = options_.numbers != Numbers::fp32 && options_.numbers != Numbers::fp16;
  if (quantised) return quantised_product(module, x, gamma);
  const Type type = narrow(module) ? Type::f16 : Type::f32;
  const std::string scope = scope_of(module);
  const Value weight = weights_.transposed(module + ".weight", gamma, type);
  const Value y = graph_.matmul(scope, graph_.cast(scope, x, type), weight);
  return {module, y, weights_.bias(module + ".bias", gamma, type)};
}

Value Layers::exact_linear(const std::string& module, const Value& x) {
  const Value weight = weights_.transposed(module + ".weight", "", Type::f32);
  const Value y = graph_.matmul(scope_of(module), x, weight);
  return plus_bias({module, y, weights_.bias(module + ".bias", "")});
}

Value Layers::plus_bias(const Product& product) {
  return product.bias ? graph_.map(scope_of(product.module), "Add", product.y, *product.bias) : product.y;
}

Value Layers::constant(const std::string& name, float number, Type type) {
  return type == Type::f16 ? graph_.half_scalar(name, number) : graph_.scalar(name, number);
}

Value Layers::attention(const std::string& module, const Product& qkv, std::int64_t kept) {
  const std::string scope = scope_of(module);
  const bool fused = ort() || (options_.profile == Profile::modern && graph_.opset() >= 23);
  if (!fused) return open_attention(module, qkv, kept).first;
  std::vector<Value> parts = graph_.split(scope, ort() ? qkv.y : plus_bias(qkv), 3);
  if (kept < config_.tokens()) parts[0] = graph_.slice_rows(scope + "/q", parts[0], 0, kept);
  const Graph::Result result{parts[0].dims, parts[0].type};
  if (ort()) {
    if (qkv.bias) parts.push_back(*qkv.bias);
    return graph_.add(scope, "com.microsoft.MultiHeadAttention", parts, result,
                      {{"num_heads", config_.num_heads}});
  }
  std::vector<Attribute> attributes = {{"kv_num_heads", config_.num_heads},
                                       {"q_num_heads", config_.num_heads}};
  if (result.type == Type::f16) {  // its softmax in f32
    attributes.push_back({"softmax_precision", static_cast<std::int64_t>(Type::f32)});
  }
  return graph_.add(scope, "Attention", parts, result, attributes);
}

// (batch, rows, heads, head_dim), permuted
Value Layers::heads(const std::string& scope, const Value& x, const Dims& permutation) {
  const std::int64_t rows = x.dims[1];
  const Dims dims{graph_.batch(), rows, config_.num_heads, config_.head_dim()};
  const std::string shape = rows == config_.tokens() ? "heads.shape" : "heads.kept.shape";
  return graph_.transpose(scope, graph_.reshape(scope, x, shape, dims), permutation);
}

Layers::Heads Layers::split_heads(const std::string& scope, const Value& qkv, std::int64_t kept) {
  std::vector<Value> parts = graph_.split(scope, qkv, 3);
  if (kept < config_.tokens()) parts[0] = graph_.slice_rows(scope + "/q", parts[0], 0, kept);
  return {heads(scope + "/q", parts[0], {0, 2, 1, 3}), heads(scope + "/k", parts[1], {0, 2, 3, 1}),
          heads(scope + "/v", parts[2], {0, 2, 1, 3})};
}

// The scale stands at q, where runtimes look for it to fuse the whole.
std::pair<Value, Value> Layers::open_attention(const std::string& module, const Product& qkv,
                                               std::int64_t kept) {
  const std::string scope = scope_of(module);
  const Heads parts = split_heads(scope, plus_bias(qkv), kept);
  const Type type = parts.q.type;
  const float scale = 1 / std::sqrt(static_cast<float>(config_.head_dim()));
  const Value q = graph_.map(scope + "/q", "Mul", parts.q, constant("attn.scale", scale, type));
  const Value scores = graph_.cast(scope, graph_.matmul(scope, q, parts.k), Type::f32);
  const Value probabilities = graph_.softmax(scope, scores);
  Value y = graph_.matmul(scope, graph_.cast(scope, probabilities, type), parts.v);
  y = graph_.transpose(scope, y, {0, 2, 1, 3});
  const std::string shape = kept == config_.tokens() ? "tokens.shape" : "tokens.kept.shape";
  return {graph_.reshape(scope, y, shape, {graph_.batch(), kept, config_.embed_dim}), probabilities};
}

std::pair<Value, Value> Layers::add_norm(const std::string& scope, const Value& x, const Product& y,
                                         const std::string& norm_module) {
  if (!ort()) {
    const Value sum = add(scope, x, y);
    return {sum, norm(norm_module, sum)};
  }
  std::vector<Value> inputs = {graph_.cast(scope, y.y, Type::f32), x, weights_.get(norm_module + ".weight"),
                               weights_.get(norm_module + ".bias")};
  if (y.y.type == Type::f16) {
    inputs[0] = graph_.cast(scope, plus_bias(y), Type::f32);
  } else if (y.bias) {
    inputs.push_back(*y.bias);
  }
  const Graph::Output result{x.dims, Type::f32}, none{{}, Type::f32, true};
  const std::vector<Value> values =
      graph_.add_many(scope_of(norm_module), kSkipNorm, inputs, {result, none, none, result},
                      {{"epsilon", config_.norm_eps}});
  return {values[3], values[0]};
}

Value Layers::add(const std::string& scope, const Value& x, const Product& y) {
  const Value branch = graph_.cast(scope_of(y.module), plus_bias(y), Type::f32);
  return graph_.map(scope, "Add", branch, x);
}

}  // namespace vitrail::onnx_export
