#include "onnx_export/interpreter_op.h"

#include <fmt/format.h>

#include "format/error.h"

namespace vitrail::onnx_export::reference {

const Op* find_op(const std::string& domain, const std::string& name) {
  const std::string usual = domain == "ai.onnx" ? "" : domain;
  for (const std::span<const Op> family : {elementwise_ops(), product_ops(), layout_ops(), row_ops(),
                                           attention_ops(), quantize_ops(), resize_ops()}) {
    for (const Op& op : family) {
      if (op.domain == usual && op.name == name) return &op;
    }
  }
  return nullptr;
}

const Tensor& NodeRun::in(std::size_t i) const {
  const Tensor* tensor = optional(i);
  if (tensor == nullptr) fail(fmt::format("input {} is missing", i));
  return *tensor;
}

const Tensor& NodeRun::floats(std::size_t i) const {
  const Tensor& x = in(i);
  if (!is_float(x.type))
    fail(fmt::format("input {}: expected float32 or float16, found {}", i, name_of(x.type)));
  return x;
}

Dims NodeRun::whole(std::size_t i) const {
  const Tensor& x = in(i);
  if (is_float(x.type) || x.rank() > 1)
    fail(fmt::format("input {}: expected a list of integers, found {} {}", i, name_of(x.type),
                     to_string(x.dims)));
  return x.elements->whole;
}

const onnx::AttributeProto* NodeRun::find(const char* name) const {
  for (const onnx::AttributeProto& attribute : node_.proto.attribute()) {
    if (attribute.name() == name) return &attribute;
  }
  return nullptr;
}

std::int64_t NodeRun::integer(const char* name, std::int64_t otherwise) const {
  const onnx::AttributeProto* attribute = find(name);
  return attribute == nullptr ? otherwise : attribute->i();
}

double NodeRun::number(const char* name, double otherwise) const {
  const onnx::AttributeProto* attribute = find(name);
  return attribute == nullptr ? otherwise : static_cast<double>(attribute->f());
}

std::string NodeRun::text(const char* name, const char* otherwise) const {
  const onnx::AttributeProto* attribute = find(name);
  return attribute == nullptr ? otherwise : attribute->s();
}

Dims NodeRun::integers(const char* name) const {
  const onnx::AttributeProto* attribute = find(name);
  if (attribute == nullptr) return {};
  return {attribute->ints().begin(), attribute->ints().end()};
}

void NodeRun::only(const char* name, std::int64_t expected) const {
  const std::int64_t found = integer(name, expected);
  if (found != expected)
    fail(fmt::format("attribute {}: this program computes {} only, found {}", name, expected, found));
}

std::size_t NodeRun::axis(std::int64_t number, const Tensor& x) const {
  const std::int64_t rank = x.rank();
  if (number < -rank || number >= rank)
    fail(fmt::format("axis {} of a tensor {}", number, to_string(x.dims)));
  return static_cast<std::size_t>(number < 0 ? number + rank : number);
}

void NodeRun::out(std::size_t i, Tensor tensor) {
  if (i >= outputs_.size()) return;
  tensor.round();
  outputs_[i] = std::move(tensor);
}

void NodeRun::fail(const std::string& what) const {
  throw format::FormatError(node_.label + ": " + what);
}

}  // namespace vitrail::onnx_export::reference
