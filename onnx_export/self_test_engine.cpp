#include "engine/evaluate.h"
#include "onnx_export/self_test.h"

namespace vitrail::onnx_export {

SelfTest engine_self_test(const Model& model, Backend& backend, std::int64_t batch, double tolerance) {
  const VitConfig& config = model.config;
  SelfTest test{.seed = 1,
                .input = "images",
                .shape = {batch, config.in_chans, config.img_size, config.img_size},
                .tolerance = tolerance,
                .outputs = {}};
  const auto count = static_cast<std::size_t>(batch * config.in_chans * config.img_size * config.img_size);
  const std::vector<float> logits =
      Classifier(backend, config, model.params, batch).logits(self_test_floats(test.seed, count));
  const auto budget = std::make_shared<reference::Budget>(reference::Limits{});
  reference::Tensor tensor = make_tensor(budget, reference::Type::f32, {batch, config.num_classes}, "logits");
  tensor.elements->floats = logits;
  test.outputs.push_back(SelfTest::sampled("logits", tensor));
  return test;
}

void add_self_test(Graph& graph, const Model& model, Backend& backend) {
  graph.metadata(kSelfTestKey, engine_self_test(model, backend, 1, kToleranceF32).text());
  graph.metadata(kHashKey, reference::ModelParts::of(graph.model()).content_hash(kHashKey));
}

}  // namespace vitrail::onnx_export
