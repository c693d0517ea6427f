#include "onnx_export/graph.h"

#include <doctest/doctest.h>

#include <cstring>

namespace vitrail::onnx_export {
namespace {

std::vector<float> floats_of(const onnx::TensorProto& tensor) {
  std::vector<float> elements(tensor.raw_data().size() / sizeof(float));
  std::memcpy(elements.data(), tensor.raw_data().data(), tensor.raw_data().size());
  return elements;
}

TEST_CASE("a graph states its versions and the open batch axis") {
  Graph graph("net");
  graph.input("images", {kBatch, 3, 8, 8});
  const onnx::ModelProto& model = graph.model();
  CHECK(model.ir_version() == 8);
  REQUIRE(model.opset_import_size() == 1);
  CHECK(model.opset_import(0).version() == 17);
  CHECK(model.graph().name() == "net");
  const onnx::TensorShapeProto& shape = model.graph().input(0).type().tensor_type().shape();
  CHECK(shape.dim(0).dim_param() == "batch");
  CHECK(shape.dim(1).dim_value() == 3);
}

TEST_CASE("nodes of one scope get names of their own") {
  Graph graph("net");
  const Value x = graph.input("x", {kBatch, 4});
  const Value one = graph.scalar("one", 1.0f);
  const Value a = graph.map("block/act", "Add", x, one);
  const Value b = graph.map("block/act", "Add", a, one);
  CHECK(a.name == "block/act/Add");
  CHECK(b.name == "block/act/Add_1");
  CHECK(graph.model().graph().node(1).input(0) == "block/act/Add");
  CHECK(graph.nodes() == 2);
}

TEST_CASE("a constant asked for twice is stored once") {
  Graph graph("net");
  CHECK(graph.scalar("half", 0.5f).name == graph.scalar("half", 0.5f).name);
  CHECK(graph.integers("shape", {kBatch, 7}).name == graph.integers("shape", {kBatch, 7}).name);
  REQUIRE(graph.model().graph().initializer_size() == 2);
  CHECK(floats_of(graph.model().graph().initializer(0)) == std::vector<float>{0.5f});
  CHECK(graph.model().graph().initializer(0).dims_size() == 0);
}

TEST_CASE("the output's name replaces that of the last node's tensor") {
  Graph graph("net");
  const Value x = graph.input("x", {kBatch, 4});
  graph.output("logits", graph.map("head", "Erf", graph.map("body", "Erf", x)));
  const onnx::GraphProto& proto = graph.model().graph();
  CHECK(proto.node(1).output(0) == "logits");
  CHECK(proto.output(0).name() == "logits");
  REQUIRE(proto.value_info_size() == 1);
  CHECK(proto.value_info(0).name() == "body/Erf");
}

TEST_CASE("shapes follow the operators") {
  Graph graph("net");
  const Value x = graph.input("x", {kBatch, 6, 4});
  CHECK(graph.matmul("a", x, graph.floats("w", {4, 9}, std::vector<float>(4 * 9))).dims ==
        Dims{kBatch, 6, 9});
  CHECK(graph.transpose("a", x, {2, 0, 1}).dims == Dims{4, kBatch, 6});
  CHECK(graph.reshape("a", x, "s", {kBatch, 24}).dims == Dims{kBatch, 24});
  CHECK(graph.pad_rows("a", x, 2).dims == Dims{kBatch, 8, 4});
  CHECK(graph.slice_rows("a", x, 1, 3).dims == Dims{kBatch, 3, 4});
  CHECK(graph.slice_rows("a", x, 1, 3, 2).dims == Dims{kBatch, 6, 3});
  CHECK(graph.mean("a", x, 1).dims == Dims{kBatch, 4});
  CHECK(graph.concat("a", x, x, 1).dims == Dims{kBatch, 12, 4});
  CHECK(graph.cast("a", x, Type::f16).type == Type::f16);
  CHECK(graph.cast("a", x, Type::f32).name == "x");
  const std::vector<Value> halves = graph.split("a", x, 2);
  REQUIRE(halves.size() == 2);
  CHECK(halves[1].dims == Dims{kBatch, 6, 2});
  CHECK(halves[0].name != halves[1].name);
}

TEST_CASE("large initialisers have their bytes elsewhere") {
  Graph graph("net");
  graph.floats("small", {255}, std::vector<float>(255));
  graph.floats("large", {256}, std::vector<float>(256, 2.5f));
  REQUIRE(graph.model().graph().initializer_size() == 1);
  REQUIRE(graph.payloads().size() == 1);
  CHECK(graph.payloads()[0].bytes == 1024);
  const onnx::ModelProto whole = graph.complete();
  REQUIRE(whole.graph().initializer_size() == 2);
  CHECK(floats_of(whole.graph().initializer(1)) == std::vector<float>(256, 2.5f));
  const onnx::ModelProto skeleton = graph.skeleton();
  CHECK(skeleton.graph().initializer_size() == 1);
  CHECK(skeleton.graph().input(0).name() == "large");
}

TEST_CASE("an operator of another domain imports that domain once") {
  Graph graph("net");
  const Value x = graph.input("x", {kBatch, 4});
  graph.map("a", "com.microsoft.Gelu", graph.map("a", "com.microsoft.Gelu", x));
  CHECK(graph.model().opset_import_size() == 2);
  CHECK(graph.model().graph().node(0).domain() == "com.microsoft");
  CHECK(graph.model().graph().node(0).op_type() == "Gelu");
}

}  // namespace
}  // namespace vitrail::onnx_export
