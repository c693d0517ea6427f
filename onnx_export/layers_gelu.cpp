// GELU: exact by erf, approximated by tanh or by a sigmoid.

#include <cassert>
#include <cmath>
#include <numbers>

#include "onnx_export/layers.h"

namespace vitrail::onnx_export {
namespace {

constexpr double kQuick = 1.702;

}  // namespace

Value Layers::gelu(const std::string& scope, const Product& x) {
  if (ort() && config_.gelu != GeluKind::quick) {
    const bool exact = config_.gelu == GeluKind::erf;
    if (!x.bias) {
      return graph_.map(scope, exact ? "com.microsoft.Gelu" : "com.microsoft.FastGelu", x.y);
    }
    return graph_.map(scope, exact ? "com.microsoft.BiasGelu" : "com.microsoft.FastGelu", x.y, *x.bias);
  }
  const Value sum = plus_bias(x);
  const Graph::Result result{sum.dims, sum.type};
  if (ort()) return graph_.add(scope, "com.microsoft.QuickGelu", {sum}, result, {{"alpha", kQuick}});
  if (options_.profile == Profile::modern) {
    if (config_.gelu == GeluKind::erf) return graph_.map(scope, "Gelu", sum);
    if (config_.gelu == GeluKind::tanh)
      return graph_.add(scope, "Gelu", {sum}, result, {{"approximate", std::string("tanh")}});
    if (graph_.opset() >= 24) return graph_.add(scope, "Swish", {sum}, result, {{"alpha", kQuick}});
  }
  return gelu_primitive(scope, sum);
}

Value Layers::gelu_primitive(const std::string& scope, const Value& x) {
  switch (config_.gelu) {
    case GeluKind::erf:
      return gelu_erf(scope, x);
    case GeluKind::tanh:
      return gelu_tanh(scope, x);
    case GeluKind::quick:
      return gelu_quick(scope, x);
  }
  assert(false);
  return x;
}

// (erf(x/√2) + 1)·x·½
Value Layers::gelu_erf(const std::string& scope, const Value& x) {
  Value y = graph_.map(scope, "Div", x, constant("gelu.sqrt2", std::numbers::sqrt2_v<float>, x.type));
  y = graph_.map(scope, "Erf", y);
  y = graph_.map(scope, "Add", y, constant("gelu.one", 1.0f, x.type));
  y = graph_.map(scope, "Mul", y, x);
  return graph_.map(scope, "Mul", y, constant("gelu.half", 0.5f, x.type));
}

// (tanh(√(2/π)·x·(0.044715·x·x + 1)) + 1)·(x·½)
Value Layers::gelu_tanh(const std::string& scope, const Value& x) {
  const float root = std::sqrt(2 * std::numbers::inv_pi_v<float>);
  Value y = graph_.map(scope, "Mul", x, constant("gelu.cubic", 0.044715f, x.type));
  y = graph_.map(scope, "Mul", y, x);
  y = graph_.map(scope, "Add", y, constant("gelu.one", 1.0f, x.type));
  y = graph_.map(scope, "Mul", graph_.map(scope, "Mul", x, constant("gelu.root", root, x.type)), y);
  y = graph_.map(scope, "Tanh", y);
  y = graph_.map(scope, "Add", y, constant("gelu.one", 1.0f, x.type));
  return graph_.map(scope, "Mul", graph_.map(scope, "Mul", x, constant("gelu.half", 0.5f, x.type)), y);
}

// σ(1.702·x)·x
Value Layers::gelu_quick(const std::string& scope, const Value& x) {
  Value y = graph_.map(scope, "Mul", x, constant("gelu.quick", static_cast<float>(kQuick), x.type));
  y = graph_.map(scope, "Sigmoid", y);
  return graph_.map(scope, "Mul", y, x);
}

}  // namespace vitrail::onnx_export
