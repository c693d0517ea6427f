#include "onnx_export/interpreter.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "format/error.h"
#include "onnx_export/interpreter_rules.h"

namespace vitrail::onnx_export::reference {
namespace {

using format::FormatError;

constexpr std::int64_t kFirstOpset = 13, kLastOpset = 24;
constexpr std::int64_t kFirstIr = 4;  // initialisers need not be inputs
constexpr std::int64_t kLastIr = 13;
constexpr std::int64_t kMostAxes = 8;

Tensor decode(const Constant& constant, const std::shared_ptr<Budget>& budget) {
  const std::string what = fmt::format("initialiser '{}'", constant.name);
  if (!constant.produce) return decode_tensor(budget, constant.type, constant.dims, constant.bytes, what);
  std::vector<std::byte> bytes;
  bytes.reserve(static_cast<std::size_t>(checked_elements(constant.dims, what)) * size_of(constant.type));
  constant.produce([&](format::Bytes piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
  return decode_tensor(budget, constant.type, constant.dims, bytes, what);
}

}  // namespace

// One run: what the values hold, and what the open extents turned out to be.
struct Graph::State {
  std::vector<std::optional<Tensor>> tensors;
  mutable std::map<std::string, std::int64_t> extents;
  Products& products;
  std::shared_ptr<Budget> budget;
};

Graph::Graph(const ModelParts& parts) : parts_(parts) {
  const onnx::ModelProto& model = parts.skeleton;
  const onnx::GraphProto& graph = model.graph();
  if (model.functions_size() + model.training_info_size() + graph.sparse_initializer_size() > 0)
    throw FormatError("expected a graph without functions, training and sparse initialisers");
  read_versions();
  for (std::size_t i = 0; i < parts.constants.size(); ++i)
    values_[static_cast<std::size_t>(add_value(parts.constants[i].name))].constant = static_cast<int>(i);
  for (const onnx::ValueInfoProto& info : graph.input()) {
    input_values_.push_back(add_value(info.name()));
    inputs_.push_back(declaration(info));
  }
  for (const onnx::NodeProto& node : graph.node())
    read_node(node);
  for (const onnx::ValueInfoProto& info : graph.output()) {
    output_values_.push_back(known(info.name(), "the output"));
    values_[static_cast<std::size_t>(output_values_.back())].last_use = kKept;
    outputs_.push_back(declaration(info));
  }
  if (inputs_.empty() || outputs_.empty()) throw FormatError("expected a graph with an input and an output");
  read_declarations();
}

void Graph::read_versions() {
  const onnx::ModelProto& model = parts_.skeleton;
  if (model.ir_version() < kFirstIr || model.ir_version() > kLastIr)
    throw FormatError(
        fmt::format("expected an IR version from {} to {}, found {}", kFirstIr, kLastIr, model.ir_version()));
  for (const onnx::OperatorSetIdProto& set : model.opset_import()) {
    const std::string domain = set.domain() == "ai.onnx" ? "" : set.domain();
    if (!domains_.insert(domain).second)
      throw FormatError(fmt::format("the domain '{}' is imported twice", domain));
    if (domain.empty()) {
      opset_ = set.version();
    } else if (domain != kMicrosoft || set.version() != 1) {
      throw FormatError(
          fmt::format("expected operators of ONNX and version 1 of {}, found version {} of '{}'", kMicrosoft,
                      set.version(), domain));
    }
  }
  if (opset_ < kFirstOpset || opset_ > kLastOpset)
    throw FormatError(fmt::format("expected opset {} to {}, found {}", kFirstOpset, kLastOpset, opset_));
}

Declared Graph::declaration(const onnx::ValueInfoProto& info) const {
  const std::string what = fmt::format("tensor '{}'", info.name());
  if (!info.type().has_tensor_type()) throw FormatError(what + ": expected a tensor, found something else");
  const onnx::TypeProto_Tensor& type = info.type().tensor_type();
  Declared declared{.name = info.name(),
                    .type = checked_type(type.elem_type(), what),
                    .dims = {},
                    .open = {},
                    .shaped = type.has_shape()};
  if (type.shape().dim_size() > kMostAxes)
    throw FormatError(
        fmt::format("{}: expected at most {} axes, found {}", what, kMostAxes, type.shape().dim_size()));
  for (const onnx::TensorShapeProto_Dimension& dim : type.shape().dim()) {
    if (dim.has_dim_value() && dim.dim_value() < 1)
      throw FormatError(fmt::format("{}: expected extents from 1, found {}", what, dim.dim_value()));
    declared.dims.push_back(dim.has_dim_value() ? dim.dim_value() : -1);
    declared.open.push_back(dim.has_dim_value() ? "" : dim.dim_param());
  }
  return declared;
}

void Graph::read_declarations() {
  const auto note = [&](const Declared& declared) {
    const auto found = by_name_.find(declared.name);
    if (found == by_name_.end())
      throw FormatError(
          fmt::format("tensor '{}' is described, but there is none of that name", declared.name));
    Value& value = values_[static_cast<std::size_t>(found->second)];
    if (value.declared >= 0) throw FormatError(fmt::format("tensor '{}' is described twice", declared.name));
    value.declared = static_cast<int>(declared_.size());
    declared_.push_back(declared);
  };
  for (const std::vector<Declared>* list : {&inputs_, &outputs_}) {
    for (const Declared& declared : *list)
      note(declared);
  }
  for (const onnx::ValueInfoProto& info : parts_.skeleton.graph().value_info())
    note(declaration(info));
}

int Graph::add_value(const std::string& name) {
  if (name.empty()) throw FormatError("a tensor has no name");
  const int index = static_cast<int>(values_.size());
  if (!by_name_.emplace(name, index).second)
    throw FormatError(fmt::format("the name '{}' is given twice", name));
  values_.push_back({.name = name, .constant = -1, .last_use = -1, .declared = -1});
  return index;
}

int Graph::known(const std::string& name, const std::string& reader) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end())
    throw FormatError(fmt::format("{} asks for '{}', which nothing before it computes", reader, name));
  return found->second;
}

// Nodes stand in an order in which they can be computed, so no cycle can be.
void Graph::read_node(const onnx::NodeProto& proto) {
  Node node = checked_node(proto, opset_);
  const std::string domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
  if (domains_.count(domain) == 0)
    throw FormatError(fmt::format("{}: its domain '{}' is not imported", node.label, domain));
  for (const std::string& input : proto.input()) {
    node.inputs.push_back(input.empty() ? -1 : known(input, node.label));
    if (!input.empty())
      values_[static_cast<std::size_t>(node.inputs.back())].last_use = static_cast<int>(nodes_.size());
  }
  for (const std::string& output : proto.output())
    node.outputs.push_back(output.empty() ? -1 : add_value(output));
  nodes_.push_back(std::move(node));
}

void Graph::check(const State& state, int index, const Tensor& tensor) const {
  const Value& value = values_[static_cast<std::size_t>(index)];
  if (value.declared < 0) return;
  const Declared& declared = declared_[static_cast<std::size_t>(value.declared)];
  bool fits =
      tensor.type == declared.type && (!declared.shaped || tensor.dims.size() == declared.dims.size());
  for (std::size_t axis = 0; fits && axis < declared.dims.size(); ++axis) {
    std::int64_t expected = declared.dims[axis];
    if (expected < 0 && !declared.open[axis].empty())
      expected = state.extents.emplace(declared.open[axis], tensor.dims[axis]).first->second;
    fits = expected < 0 || expected == tensor.dims[axis];
  }
  if (!fits)
    throw FormatError(fmt::format("tensor '{}': the file declares {} {}, the graph computes {} {}",
                                  value.name, name_of(declared.type), to_string(declared.dims),
                                  name_of(tensor.type), to_string(tensor.dims)));
}

void Graph::run_node(State& state, std::size_t index) const {
  const Node& node = nodes_[index];
  std::vector<const Tensor*> inputs;
  for (const int value : node.inputs) {
    if (value < 0) {
      inputs.push_back(nullptr);
      continue;
    }
    std::optional<Tensor>& tensor = state.tensors[static_cast<std::size_t>(value)];
    if (!tensor) {
      const Constant& constant =
          parts_.constants[static_cast<std::size_t>(values_[static_cast<std::size_t>(value)].constant)];
      tensor = decode(constant, state.budget);
      check(state, value, *tensor);
    }
    inputs.push_back(&*tensor);
  }
  NodeRun run(node, inputs, state.budget, state.products);
  node.op->run(run);
  for (std::size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.outputs[i] < 0) continue;
    Tensor tensor = run.take(i);
    if (!tensor.elements)
      throw FormatError(fmt::format("{}: this program does not compute output {}", node.label, i));
    check(state, node.outputs[i], tensor);
    state.tensors[static_cast<std::size_t>(node.outputs[i])] = std::move(tensor);
  }
}

std::vector<Tensor> Graph::run(std::vector<Tensor> inputs, Products& products,
                               const std::shared_ptr<Budget>& budget, const Observer& observer) const {
  if (inputs.size() != inputs_.size())
    throw FormatError(fmt::format("expected {} inputs, found {}", inputs_.size(), inputs.size()));
  State state{.tensors = std::vector<std::optional<Tensor>>(values_.size()),
              .extents = {},
              .products = products,
              .budget = budget};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    check(state, input_values_[i], inputs[i]);
    state.tensors[static_cast<std::size_t>(input_values_[i])] = std::move(inputs[i]);
  }
  const auto give_up = [&](int value, std::size_t node) {
    if (value >= 0 && values_[static_cast<std::size_t>(value)].last_use <= static_cast<int>(node))
      state.tensors[static_cast<std::size_t>(value)].reset();
  };
  for (std::size_t index = 0; index < nodes_.size(); ++index) {
    run_node(state, index);
    for (const int value : nodes_[index].outputs) {
      if (value >= 0 && observer)
        observer(values_[static_cast<std::size_t>(value)].name,
                 *state.tensors[static_cast<std::size_t>(value)]);
    }
    for (const std::vector<int>* list : {&nodes_[index].inputs, &nodes_[index].outputs}) {
      for (const int value : *list)
        give_up(value, index);
    }
  }
  std::vector<Tensor> outputs;
  for (const int value : output_values_) {
    if (!state.tensors[static_cast<std::size_t>(value)])
      throw FormatError(
          fmt::format("output '{}' is no node's result", values_[static_cast<std::size_t>(value)].name));
    outputs.push_back(*state.tensors[static_cast<std::size_t>(value)]);
  }
  return outputs;
}

}  // namespace vitrail::onnx_export::reference
