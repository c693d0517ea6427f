// Linear layers in int8: weights symmetric by output channel, activations by tensor.

#include <algorithm>
#include <cassert>
#include <cmath>

#include "onnx_export/layers.h"

namespace vitrail::onnx_export {
namespace {

Bytes byte_of(const std::uint8_t& number) {
  return std::as_bytes(std::span(&number, 1));
}

// Of weights that are multiplied as they are: a processor without VNNI adds two products u8·i8 in 16 bits,
// signed and saturated, and 2 · 255 · 64 is the most that fits.
constexpr float kMultipliedLimit = 64;

// Steps and zero point that cover the range and 0 itself.
struct Steps {
  float scale = 1;
  std::uint8_t zero = 0;
};

Steps unsigned_steps(const Range& range) {
  const float low = std::min(range.lowest, 0.0f), high = std::max(range.highest, 0.0f);
  const float scale = high > low ? (high - low) / 255 : 1;
  return {scale, static_cast<std::uint8_t>(std::clamp(std::nearbyint(-low / scale), 0.0f, 255.0f))};
}

// TensorRT takes no zero point but 0.
Steps signed_steps(const Range& range) {
  const float largest = range.magnitude();
  return {largest > 0 ? largest / 127 : 1, 0};
}

}  // namespace

Product Layers::quantised_product(const std::string& module, const Value& x, const std::string& gamma) {
  const std::string scope = scope_of(module);
  const bool full = options_.numbers == Numbers::int8_weights || options_.full_range;
  const Weights::Quantised quantised =
      weights_.quantised(module + ".weight", gamma, full ? 127 : kMultipliedLimit);
  const std::optional<Value> bias = weights_.bias(module + ".bias", gamma);
  if (options_.numbers == Numbers::int8_dynamic) {
    return {module, dynamic_product(scope, x, quantised), bias};
  }
  const Value input = options_.numbers == Numbers::int8_static ? round_trip(module, x) : x;
  const Value weight = graph_.add(scope + "/weight", "DequantizeLinear", {quantised.weight, quantised.scales},
                                  {quantised.weight.dims}, {{"axis", std::int64_t{1}}});
  return {module, graph_.matmul(scope, input, weight), bias};
}

// Σ (xq − zero)·wq as i32, then times both scales: the order in which onnxruntime knows it as one.
Value Layers::dynamic_product(const std::string& scope, const Value& x, const Weights::Quantised& weight) {
  const std::vector<Value> quantised = graph_.add_many(scope, "DynamicQuantizeLinear", {x},
                                                       {{x.dims, Type::u8}, {{}, Type::f32}, {{}, Type::u8}});
  Dims dims = x.dims;
  dims.back() = weight.weight.dims[1];
  const Value sums =
      graph_.add(scope, "MatMulInteger", {quantised[0], weight.weight, quantised[2]}, {dims, Type::i32});
  const Value scales =
      graph_.add(scope + "/scale", "Mul", {quantised[1], weight.scales}, {weight.scales.dims});
  return graph_.map(scope, "Mul", graph_.cast(scope, sums, Type::f32), scales);
}

// Quantised and back: runtimes that see it before a product with such a weight compute in int8.
Value Layers::round_trip(const std::string& module, const Value& x) {
  const auto range = ranges_.inputs.find(module);
  assert(range != ranges_.inputs.end());
  const Steps steps = ort() ? unsigned_steps(range->second) : signed_steps(range->second);
  const std::string scope = scope_of(module) + "/input";
  const Value scale = graph_.scalar(module + ".input.scale", steps.scale);
  const Value zero =
      graph_.tensor(module + ".input.zero", ort() ? Type::u8 : Type::i8, {}, byte_of(steps.zero));
  const Value narrow = graph_.add(scope, "QuantizeLinear", {x, scale, zero}, {x.dims, zero.type});
  return graph_.add(scope, "DequantizeLinear", {narrow, scale, zero}, {x.dims});
}

}  // namespace vitrail::onnx_export
