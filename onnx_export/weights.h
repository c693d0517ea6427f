#pragma once
// The parameters of a model as initialisers of the graph. Names are the parameter's own, with suffixes that
// say what was done: .T transposed, .ls1 multiplied by that LayerScale, .f16, .i8, .bytes for samples as
// input.

#include <optional>

#include "onnx_export/graph.h"
#include "onnx_export/matrix.h"

namespace vitrail::onnx_export {

class Weights {
 public:
  // All of them outlive the graph's payloads.
  Weights(Graph& graph, const VitConfig& config, const InputConfig& input, const Parameters& parameters)
      : graph_(graph), config_(config), input_(input), parameters_(parameters) {}

  // Under its own name and shape, f32; null when the model has no such parameter.
  std::optional<Value> find(const std::string& name);
  Value get(const std::string& name);  // for one that every model has

  // W (out, in) of a linear layer, its outputs times gamma where the model has that.
  Matrix matrix(const std::string& name, const std::string& gamma) const;
  Value transposed(const std::string& name, const std::string& gamma, Type type);
  struct Quantised {
    Value weight, scales;  // i8 (in, out), f32 (out)
  };
  // By outputs, in [-limit, limit].
  Quantised quantised(const std::string& name, const std::string& gamma, float limit);
  // gamma ⊙ b (out) in f32 or f16; null without a bias.
  std::optional<Value> bias(const std::string& name, const std::string& gamma, Type type = Type::f32);

  // The patch convolution; for samples in 0…255 with their normalisation folded in.
  struct Patches {
    Value weight;  // (dim, channels, P, P)
    std::optional<Value> bias;
  };
  Patches patches(bool samples);
  // What is added to the patch tokens behind rows of zeros: (1, tokens, dim), the prefix tokens with their
  // position embedding, then the patches' position embedding.
  Value embedding();
  // The same in two: (batch, prefix, dim) and (1, patches, dim).
  Value prefix(std::int64_t batch);
  Value patch_positions();

 private:
  std::vector<float> read(const std::string& name) const;  // empty when the model has no such parameter
  std::vector<float> embedding_rows() const;

  Graph& graph_;
  const VitConfig& config_;
  const InputConfig& input_;
  const Parameters& parameters_;
};

}  // namespace vitrail::onnx_export
