#pragma once
// How far a graph's logits are from the engine's, on images: what other numbers than f32 cost.

#include <span>

#include "engine/vit_params.h"
#include "kernels/backend.h"
#include "onnx_export/graph.h"

namespace vitrail::onnx_export {

struct Closeness {
  std::int64_t images = 0;
  double largest_difference = 0, largest_logit = 0;  // absolute
  std::int64_t same_top1 = 0;
  // Of images that have a label.
  std::int64_t labelled = 0, engine_right = 0, graph_right = 0;

  double engine_top1() const { return percent(engine_right); }
  double graph_top1() const { return percent(graph_right); }

 private:
  double percent(std::int64_t right) const {
    return labelled == 0 ? 0 : 100.0 * static_cast<double>(right) / static_cast<double>(labelled);
  }
};

// Runs a graph with open batch, prepared images and logits in the reference interpreter, beside the network
// itself. It holds the weights of the graph in memory.
class Comparison {
 public:
  Comparison(const Graph& graph, const VitConfig& config, const VitParams& params, Backend& backend);
  ~Comparison();

  // images: (count, in_chans, img_size, img_size), normalised; labels: one each, or none.
  void add(std::span<const float> images, std::span<const std::int64_t> labels);
  const Closeness& result() const { return result_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  Closeness result_;
};

}  // namespace vitrail::onnx_export
