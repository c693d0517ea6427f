#pragma once
// The parameters of a model as the graph wants them: in f32 on the host, MatMul weights transposed,
// LayerScale and prefix tokens folded in. Names are the parameter's own, with a suffix that says what was
// done.

#include <optional>

#include "engine/model_io.h"
#include "onnx_export/graph.h"

namespace vitrail::onnx_export {

class Weights {
 public:
  Weights(Graph& graph, const Model& model, const Backend& backend);

  // Under its own name and shape; null when the model has no such parameter.
  std::optional<Value> find(const std::string& name);
  Value get(const std::string& name);  // for one that every model has

  // Wᵀ (in, out) of W (out, in) as NAME.T; with gamma (out), diag(gamma)·W transposed as NAME.T.GAMMA's
  // module.
  Value transposed(const std::string& name, const std::string& gamma);
  // gamma ⊙ b (out); null without a bias.
  std::optional<Value> bias(const std::string& name, const std::string& gamma);
  // What is added to the patch tokens behind rows of zeros: (1, tokens, dim), the prefix tokens with their
  // position embedding, then the patches' position embedding.
  Value embedding();

 private:
  std::vector<float> read(const std::string& name) const;  // empty when the model has no such parameter
  std::vector<float> read_gamma(const std::string& name) const;

  Graph& graph_;
  const Model& model_;
  const Backend& backend_;
};

}  // namespace vitrail::onnx_export
