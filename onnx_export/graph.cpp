#include "onnx_export/graph.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "onnx_export/ops.h"

namespace vitrail::onnx_export {
namespace {

void describe_dim(onnx::TensorShapeProto_Dimension& dim, std::int64_t extent) {
  if (extent >= 0) dim.set_dim_value(extent);
  if (extent == kBatch) dim.set_dim_param("batch");
  if (extent == kHeight) dim.set_dim_param("height");
  if (extent == kWidth) dim.set_dim_param("width");
}

void describe(onnx::ValueInfoProto& info, const std::string& name, const Dims& dims, Type type) {
  info.set_name(name);
  onnx::TypeProto_Tensor& tensor = *info.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(static_cast<std::int32_t>(type));
  tensor.mutable_shape();
  for (const std::int64_t extent : dims)
    describe_dim(*tensor.mutable_shape()->add_dim(), extent);
}

void add_attribute(onnx::NodeProto& node, const Attribute& attribute) {
  onnx::AttributeProto& proto = *node.add_attribute();
  proto.set_name(attribute.name);
  if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto_AttributeType_INT);
    proto.set_i(*integer);
  } else if (const auto* number = std::get_if<double>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto_AttributeType_FLOAT);
    proto.set_f(static_cast<float>(*number));
  } else if (const auto* text = std::get_if<std::string>(&attribute.value)) {
    proto.set_type(onnx::AttributeProto_AttributeType_STRING);
    proto.set_s(*text);
  } else {
    proto.set_type(onnx::AttributeProto_AttributeType_INTS);
    for (const std::int64_t element : std::get<Dims>(attribute.value))
      proto.add_ints(element);
  }
}

onnx::OperatorSetIdProto& add_opset(onnx::ModelProto& model, const std::string& domain,
                                    std::int64_t version) {
  onnx::OperatorSetIdProto& opset = *model.add_opset_import();
  opset.set_domain(domain);
  opset.set_version(version);
  return opset;
}

}  // namespace

Graph::Graph(const std::string& name, const GraphOptions& options) : options_(options) {
  model_.set_ir_version(options.ir_version);
  model_.set_producer_name("vitrail");
  model_.set_producer_version(VITRAIL_VERSION);
  add_opset(model_, "", options.opset);
  model_.mutable_graph()->set_name(name);
}

void Graph::import_domain(const std::string& domain) {
  for (const onnx::OperatorSetIdProto& opset : model_.opset_import()) {
    if (opset.domain() == domain) return;
  }
  add_opset(model_, domain, 1);
}

Value Graph::input(const std::string& name, Dims dims, Type type) {
  describe(*model_.mutable_graph()->add_input(), name, dims, type);
  return {name, std::move(dims), type};
}

void Graph::output(const std::string& name, const Value& value) {
  onnx::GraphProto& graph = *model_.mutable_graph();
  auto& infos = *graph.mutable_value_info();
  for (int i = 0; i < infos.size(); ++i) {
    if (infos[i].name() != value.name) continue;
    infos.DeleteSubrange(i, 1);  // an output is described as such instead
    break;
  }
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    for (std::string& made : *node.mutable_output()) {
      if (made == value.name) made = name;
    }
    for (std::string& read : *node.mutable_input()) {
      if (read == value.name) read = name;
    }
  }
  describe(*graph.add_output(), name, value.dims, value.type);
}

void Graph::metadata(const std::string& key, const std::string& text) {
  onnx::StringStringEntryProto& entry = *model_.add_metadata_props();
  entry.set_key(key);
  entry.set_value(text);
}

onnx::NodeProto& Graph::node(const std::string& scope, const std::string& op,
                             const std::vector<Value>& inputs, const std::vector<Attribute>& attributes) {
  const std::size_t dot = op.rfind('.');
  const std::string domain = dot == std::string::npos ? "" : op.substr(0, dot);
  const std::string type = dot == std::string::npos ? op : op.substr(dot + 1);
  [[maybe_unused]] const Op* listed = find_op(domain, type);
  assert(listed != nullptr && listed->version_at(options_.opset) > 0);
  if (!domain.empty()) import_domain(domain);
  const std::string first = scope + "/" + type;
  std::string name = first;
  for (int i = 1; !names_.insert(name).second; ++i)
    name = first + "_" + std::to_string(i);
  onnx::NodeProto& node = *model_.mutable_graph()->add_node();
  node.set_name(name);
  node.set_op_type(type);
  if (!domain.empty()) node.set_domain(domain);
  for (const Value& value : inputs)
    node.add_input(value.name);
  for (const Attribute& attribute : attributes)
    add_attribute(node, attribute);
  return node;
}

Value Graph::result(onnx::NodeProto& node, const std::string& name, Dims dims, Type type) {
  node.add_output(name);
  describe(*model_.mutable_graph()->add_value_info(), name, dims, type);
  return {name, std::move(dims), type};
}

Value Graph::add(const std::string& scope, const std::string& op, const std::vector<Value>& inputs,
                 Result expected, const std::vector<Attribute>& attributes) {
  onnx::NodeProto& made = node(scope, op, inputs, attributes);
  return result(made, made.name(), std::move(expected.dims), expected.type);
}

std::vector<Value> Graph::add_many(const std::string& scope, const std::string& op,
                                   const std::vector<Value>& inputs, const std::vector<Output>& outputs,
                                   const std::vector<Attribute>& attributes) {
  onnx::NodeProto& made = node(scope, op, inputs, attributes);
  std::vector<Value> values;
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].skip) {
      made.add_output("");
      values.emplace_back();
    } else {
      values.push_back(result(made, made.name() + "." + std::to_string(i), outputs[i].dims, outputs[i].type));
    }
  }
  return values;
}

std::int64_t Graph::count(const std::string& op) const {
  return std::count_if(model_.graph().node().begin(), model_.graph().node().end(),
                       [&](const onnx::NodeProto& node) { return node.op_type() == op; });
}

}  // namespace vitrail::onnx_export
