#include "onnx_export/graph.h"

#include <bit>
#include <cassert>
#include <utility>

namespace vitrail::onnx_export {
namespace {

static_assert(std::endian::native == std::endian::little, "raw_data is little-endian");

void describe(onnx::ValueInfoProto& info, const std::string& name, const Dims& dims) {
  info.set_name(name);
  onnx::TypeProto_Tensor& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto_DataType_FLOAT);
  for (const std::int64_t extent : dims) {
    onnx::TensorShapeProto_Dimension& dim = *type.mutable_shape()->add_dim();
    if (extent == kBatch) {
      dim.set_dim_param("batch");
    } else {
      dim.set_dim_value(extent);
    }
  }
}

onnx::AttributeProto& attribute(onnx::NodeProto& node, const std::string& name,
                                onnx::AttributeProto_AttributeType type) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

void set_int(onnx::NodeProto& node, const std::string& name, std::int64_t number) {
  attribute(node, name, onnx::AttributeProto_AttributeType_INT).set_i(number);
}

void set_float(onnx::NodeProto& node, const std::string& name, double number) {
  attribute(node, name, onnx::AttributeProto_AttributeType_FLOAT).set_f(static_cast<float>(number));
}

void set_ints(onnx::NodeProto& node, const std::string& name, const Dims& numbers) {
  onnx::AttributeProto& list = attribute(node, name, onnx::AttributeProto_AttributeType_INTS);
  for (const std::int64_t number : numbers)
    list.add_ints(number);
}

void initializer(onnx::GraphProto& graph, const std::string& name, onnx::TensorProto_DataType type,
                 const Dims& dims, const void* data, std::size_t bytes) {
  onnx::TensorProto& tensor = *graph.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const std::int64_t extent : dims)
    tensor.add_dims(extent);
  tensor.set_raw_data(data, bytes);
}

}  // namespace

Graph::Graph(const std::string& name) {
  model_.set_ir_version(kIrVersion);
  model_.set_producer_name("vitrail");
  model_.set_producer_version(VITRAIL_VERSION);
  onnx::OperatorSetIdProto& opset = *model_.add_opset_import();
  opset.set_domain("");
  opset.set_version(kOpset);
  model_.mutable_graph()->set_name(name);
}

Value Graph::input(const std::string& name, Dims dims) {
  describe(*model_.mutable_graph()->add_input(), name, dims);
  return {name, std::move(dims)};
}

void Graph::output(const std::string& name, const Value& value) {
  onnx::GraphProto& graph = *model_.mutable_graph();
  onnx::NodeProto& last = *graph.mutable_node(graph.node_size() - 1);
  assert(last.output_size() == 1 && last.output(0) == value.name);
  last.set_output(0, name);
  graph.mutable_value_info()->RemoveLast();  // an output is described as such instead
  describe(*graph.add_output(), name, value.dims);
}

void Graph::metadata(const std::string& key, const std::string& text) {
  onnx::StringStringEntryProto& entry = *model_.add_metadata_props();
  entry.set_key(key);
  entry.set_value(text);
}

Value Graph::floats(const std::string& name, Dims dims, std::span<const float> elements) {
  [[maybe_unused]] const bool fresh = names_.insert(name).second;
  assert(fresh);
  initializer(*model_.mutable_graph(), name, onnx::TensorProto_DataType_FLOAT, dims, elements.data(),
              elements.size_bytes());
  return {name, std::move(dims)};
}

Value Graph::scalar(const std::string& name, float element) {
  if (names_.count(name) == 0) return floats(name, {}, {&element, 1});
  return {name, {}};
}

Value Graph::integers(const std::string& name, const Dims& elements) {
  const Dims dims{static_cast<std::int64_t>(elements.size())};
  if (names_.insert(name).second) {
    initializer(*model_.mutable_graph(), name, onnx::TensorProto_DataType_INT64, dims, elements.data(),
                elements.size() * sizeof(std::int64_t));
  }
  return {name, dims};
}

onnx::NodeProto& Graph::node(const std::string& scope, const std::string& op,
                             std::initializer_list<Value> inputs) {
  const std::string first = scope + "/" + op;
  std::string name = first;
  for (int i = 1; !names_.insert(name).second; ++i)
    name = first + "_" + std::to_string(i);
  onnx::NodeProto& node = *model_.mutable_graph()->add_node();
  node.set_name(name);
  node.set_op_type(op);
  for (const Value& value : inputs)
    node.add_input(value.name);
  return node;
}

Value Graph::result(onnx::NodeProto& node, const std::string& name, Dims dims) {
  node.add_output(name);
  describe(*model_.mutable_graph()->add_value_info(), name, dims);
  return {name, std::move(dims)};
}

Value Graph::result(onnx::NodeProto& node, Dims dims) {
  return result(node, node.name(), std::move(dims));
}

Value Graph::map(const std::string& scope, const std::string& op, const Value& x) {
  return result(node(scope, op, {x}), x.dims);
}

Value Graph::map(const std::string& scope, const std::string& op, const Value& x, const Value& b) {
  return result(node(scope, op, {x, b}), x.dims);
}

Value Graph::matmul(const std::string& scope, const Value& a, const Value& b) {
  assert(a.dims.back() == b.dims[b.dims.size() - 2]);
  Dims dims = a.dims;
  dims.back() = b.dims.back();
  return result(node(scope, "MatMul", {a, b}), std::move(dims));
}

Value Graph::patches(const std::string& scope, const Value& images, const Value& weight,
                     const std::optional<Value>& bias) {
  const std::int64_t patch = weight.dims[2];
  onnx::NodeProto& conv = node(scope, "Conv", {images, weight});
  if (bias) conv.add_input(bias->name);
  set_ints(conv, "kernel_shape", {patch, patch});
  set_ints(conv, "strides", {patch, patch});
  return result(conv, {images.dims[0], weight.dims[0], images.dims[2] / patch, images.dims[3] / patch});
}

Value Graph::layer_norm(const std::string& scope, const Value& x, const Value& weight, const Value& bias,
                        double eps) {
  onnx::NodeProto& norm = node(scope, "LayerNormalization", {x, weight, bias});
  set_int(norm, "axis", -1);
  set_float(norm, "epsilon", eps);
  return result(norm, x.dims);
}

Value Graph::softmax(const std::string& scope, const Value& x) {
  onnx::NodeProto& softmax = node(scope, "Softmax", {x});
  set_int(softmax, "axis", -1);
  return result(softmax, x.dims);
}

Value Graph::reshape(const std::string& scope, const Value& x, const std::string& shape_name,
                     const Dims& dims) {
  return result(node(scope, "Reshape", {x, integers(shape_name, dims)}), dims);
}

Value Graph::transpose(const std::string& scope, const Value& x, const Dims& permutation) {
  onnx::NodeProto& transpose = node(scope, "Transpose", {x});
  set_ints(transpose, "perm", permutation);
  Dims dims;
  for (const std::int64_t axis : permutation)
    dims.push_back(x.dims[static_cast<std::size_t>(axis)]);
  return result(transpose, std::move(dims));
}

std::vector<Value> Graph::split(const std::string& scope, const Value& x, std::int64_t parts) {
  Dims dims = x.dims;
  dims.back() /= parts;
  const Dims sizes(static_cast<std::size_t>(parts), dims.back());
  const std::string sizes_name = "split." + std::to_string(parts) + "x" + std::to_string(dims.back());
  onnx::NodeProto& split = node(scope, "Split", {x, integers(sizes_name, sizes)});
  set_int(split, "axis", static_cast<std::int64_t>(dims.size()) - 1);
  std::vector<Value> values;
  for (std::int64_t i = 0; i < parts; ++i) {
    values.push_back(result(split, split.name() + "." + std::to_string(i), dims));
  }
  return values;
}

Value Graph::pad_rows(const std::string& scope, const Value& x, std::int64_t rows) {
  const Value pads = integers("pads.rows" + std::to_string(rows), {0, rows, 0, 0, 0, 0});
  return result(node(scope, "Pad", {x, pads}), {x.dims[0], rows + x.dims[1], x.dims[2]});
}

Value Graph::slice_rows(const std::string& scope, const Value& x, std::int64_t first, std::int64_t count) {
  const Value begin = integers("row" + std::to_string(first), {first});
  const Value end = integers("row" + std::to_string(first + count), {first + count});
  return result(node(scope, "Slice", {x, begin, end, integers("axis1", {1})}), {x.dims[0], count, x.dims[2]});
}

Value Graph::mean_rows(const std::string& scope, const Value& x) {
  onnx::NodeProto& mean = node(scope, "ReduceMean", {x});
  set_ints(mean, "axes", {1});
  set_int(mean, "keepdims", 0);
  return result(mean, {x.dims[0], x.dims[2]});
}

}  // namespace vitrail::onnx_export
