// The reference interpreter on whole graphs. Its operators are compared with onnxruntime, one by one and at
// odd shapes, by tests/oracles/check_interpreter.py.

#include "onnx_export/interpreter.h"

#include <doctest/doctest.h>

#include <cmath>

#include "engine/evaluate.h"
#include "onnx_export/ops.h"
#include "onnx_export/self_test.h"
#include "onnx_export/vit_graph.h"
#include "tests/support/export_model.h"

namespace vitrail::onnx_export {
namespace {

using reference::Tensor;

TEST_CASE("the interpreter computes the engine's logits, for every switch and several batches") {
  const auto backend = make_backend("cpu", {.threads = 1});
  for (const auto& products : {reference::backend_products(*backend), reference::plain_products()}) {
    for (const test::NamedConfig& named : test::switch_configs()) {
      CAPTURE(named.name);
      const Model model = test::export_model(*backend, named.config);
      const onnx::ModelProto exported = build_vit(model, *backend).complete();
      const reference::ModelParts parts = reference::ModelParts::of(exported);
      const reference::Graph graph(parts);
      for (const std::int64_t batch : {1, 3}) {
        const SelfTest test =
            engine_self_test(model.config, model.params.views(), *backend, batch, kToleranceF32);
        const Deviation deviation = run_self_test(test, graph, *products);
        CHECK_MESSAGE(deviation.within(), deviation.text());
        CHECK(deviation.distance() < 1e-5);
      }
    }
  }
}

TEST_CASE(
    "every operator that the exporter may emit is interpreted, at each opset at which it may, and no other") {
  for (const Op& op : ops()) {
    CAPTURE(op.name);
    const reference::Op* found = reference::find_op(std::string(op.domain), std::string(op.name));
    REQUIRE(found != nullptr);
    CHECK(found->since <= op.since());
  }
  std::size_t count = 0;
  for (const auto family :
       {reference::elementwise_ops(), reference::product_ops(), reference::layout_ops(), reference::row_ops(),
        reference::attention_ops(), reference::quantize_ops(), reference::resize_ops()}) {
    for (const reference::Op& op : family) {
      CAPTURE(op.name);
      CHECK(find_op(op.domain, op.name) != nullptr);
    }
    count += family.size();
  }
  CHECK(count == ops().size());
}

}  // namespace
}  // namespace vitrail::onnx_export
