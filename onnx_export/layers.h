#pragma once
// The building blocks of the network, each as the profile has it, in the numbers that were asked for. Modules
// bear timm's names; x is (batch, tokens, dim), f32 unless told otherwise.

#include <optional>
#include <utility>

#include "onnx_export/graph.h"
#include "onnx_export/options.h"
#include "onnx_export/ranges.h"
#include "onnx_export/weights.h"

namespace vitrail::onnx_export {

// timm's module as a path: "blocks.0.attn.qkv" → "blocks.0/attn/qkv".
std::string scope_of(const std::string& module);

// A product whose bias is yet to be added: some operators take it along.
struct Product {
  std::string module;
  Value y;
  std::optional<Value> bias;
};

class Layers {
 public:
  Layers(Graph& graph, Weights& weights, const VitConfig& config, const ExportOptions& options,
         const Ranges& ranges)
      : graph_(graph), weights_(weights), config_(config), options_(options), ranges_(ranges) {}

  // x (…, dim)
  Value norm(const std::string& module, const Value& x);
  // gamma ⊙ (x·Wᵀ + b), x (…, in); gamma, where the model has it, is folded into both.
  Product product(const std::string& module, const Value& x, const std::string& gamma = "");
  // In f32 whatever the numbers: x·Wᵀ + b.
  Value exact_linear(const std::string& module, const Value& x);
  Value plus_bias(const Product& product);
  Value gelu(const std::string& scope, const Product& x);

  // softmax(q·kᵀ/√d)·v by heads, for the first `kept` tokens alone; y (batch, kept, dim). qkv: of the packed
  // layer.
  Value attention(const std::string& module, const Product& qkv, std::int64_t kept);
  // The same in primitive operators, and the probabilities (batch, heads, kept, tokens), f32.
  std::pair<Value, Value> open_attention(const std::string& module, const Product& qkv, std::int64_t kept);

  // x + y, and that normalised.
  std::pair<Value, Value> add_norm(const std::string& scope, const Value& x, const Product& y,
                                   const std::string& norm_module);
  Value add(const std::string& scope, const Value& x, const Product& y);

 private:
  bool ort() const { return options_.profile == Profile::ort; }
  bool narrow(const std::string& module) const;  // whether it computes in fp16
  Product quantised_product(const std::string& module, const Value& x, const std::string& gamma);
  Value dynamic_product(const std::string& scope, const Value& x, const Weights::Quantised& weight);
  Value round_trip(const std::string& module, const Value& x);
  struct Heads {
    Value q, k, v;
  };
  Heads split_heads(const std::string& scope, const Value& qkv, std::int64_t kept);
  Value heads(const std::string& scope, const Value& x, const Dims& permutation);
  Value constant(const std::string& name, float number, Type type);
  Value gelu_primitive(const std::string& scope, const Value& x);
  Value gelu_erf(const std::string& scope, const Value& x);
  Value gelu_tanh(const std::string& scope, const Value& x);
  Value gelu_quick(const std::string& scope, const Value& x);

  Graph& graph_;
  Weights& weights_;
  const VitConfig& config_;
  const ExportOptions& options_;
  const Ranges& ranges_;
};

}  // namespace vitrail::onnx_export
