#include <algorithm>

#include "engine/transfer.h"
#include "engine/vit.h"
#include "onnx_export/self_test.h"

namespace vitrail::onnx_export {
namespace {

// Of files that runtimes may compute otherwise than they are written: onnxruntime multiplies int8 weights by
// activations of fewer bits than f32; a sample that is resized to just a half may be rounded either way.
double tolerance_of(const ExportOptions& options) {
  switch (options.numbers) {
    case Numbers::fp32:
      return options.any_size ? kToleranceF16 : kToleranceF32;
    case Numbers::int8_weights:
    case Numbers::fp16:
      return kToleranceF16;
    case Numbers::int8_dynamic:
    case Numbers::int8_static:
      return kToleranceInt8;
  }
  return kToleranceInt8;
}

// The graph where it stands: large initialisers are made when they are asked for.
reference::ModelParts parts_of(const Graph& graph) {
  reference::ModelParts parts = reference::ModelParts::of(graph.model());
  for (const Payload& payload : graph.payloads()) {
    parts.append({.name = payload.head.name(),
                  .type = static_cast<reference::Type>(payload.head.data_type()),
                  .dims = {payload.head.dims().begin(), payload.head.dims().end()},
                  .bytes = {},
                  .produce = payload.produce});
  }
  return parts;
}

}  // namespace

SelfTest engine_self_test(const VitConfig& config, const VitParams& params, Backend& backend,
                          std::int64_t batch, double tolerance) {
  SelfTest test{.seed = 1,
                .input = "images",
                .shape = {batch, config.in_chans, config.img_size, config.img_size},
                .tolerance = tolerance,
                .outputs = {}};
  const auto count = static_cast<std::size_t>(batch * config.in_chans * config.img_size * config.img_size);
  const DType dtype = params.patch_embed.weight.dtype;
  const Buffer images(backend, count * vitrail::size_of(dtype));
  const Out view{images.data(), dtype, {batch, config.in_chans, config.img_size, config.img_size}};
  upload_floats(backend, view, self_test_floats(test.seed, count));
  Vit vit(backend, config, dtype, batch, VitMode::inference);
  const auto budget = std::make_shared<reference::Budget>(reference::Limits{});
  reference::Tensor tensor = make_tensor(budget, reference::Type::f32, {batch, config.num_classes}, "logits");
  download_floats(backend, tensor.elements->floats, vit.infer(params, view));
  test.outputs.push_back(SelfTest::sampled("logits", tensor));
  return test;
}

void add_self_test(Graph& graph, const Subject& subject, const ExportOptions& options, Backend& backend) {
  const bool plain = options.numbers == Numbers::fp32 && options.output == Output::logits &&
                     options.input == InputKind::floats;
  const double tolerance = tolerance_of(options);
  if (plain) {
    const std::int64_t batch = std::max<std::int64_t>(1, graph.batch());
    graph.metadata(kSelfTestKey,
                   engine_self_test(subject.config, subject.weights, backend, batch, tolerance).text());
    return;
  }
  reference::Dims shape;
  if (options.any_size) {  // so that the resize has something to do
    const std::int64_t side = subject.input.size + subject.input.size / 2;
    const bool last = options.layout == SampleLayout::nhwc;
    shape = {std::max<std::int64_t>(1, graph.batch()), side, side, side};
    shape[last ? 3 : 1] = subject.input.channels;
  }
  const auto products = reference::backend_products(backend);
  graph.metadata(kSelfTestKey, interpreted_self_test(parts_of(graph), *products, tolerance, shape).text());
}

}  // namespace vitrail::onnx_export
