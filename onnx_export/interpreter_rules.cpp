#include "onnx_export/interpreter_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "format/error.h"

namespace vitrail::onnx_export::reference {
namespace {

using format::FormatError;

void check_attributes(const Node& node) {
  std::set<std::string> seen;
  for (const onnx::AttributeProto& attribute : node.proto.attribute()) {
    const auto rule = std::find_if(node.op->attributes.begin(), node.op->attributes.end(),
                                   [&](const AttributeRule& r) { return attribute.name() == r.name; });
    if (rule == node.op->attributes.end())
      throw FormatError(fmt::format("{}: attribute '{}' is none of its operator, or not computed here",
                                    node.label, attribute.name()));
    if (attribute.type() != rule->type || attribute.has_ref_attr_name())
      throw FormatError(fmt::format("{}: attribute '{}' is of another type than its operator's", node.label,
                                    attribute.name()));
    if (!seen.insert(attribute.name()).second)
      throw FormatError(fmt::format("{}: attribute '{}' is there twice", node.label, attribute.name()));
  }
}

void check_counts(const Node& node) {
  const int ins = node.proto.input_size(), outs = node.proto.output_size();
  if (ins < node.op->min_inputs || ins > node.op->max_inputs)
    throw FormatError(fmt::format("{}: expected {} to {} inputs, found {}", node.label, node.op->min_inputs,
                                  node.op->max_inputs, ins));
  if (outs < 1 || outs > node.op->max_outputs)
    throw FormatError(
        fmt::format("{}: expected 1 to {} outputs, found {}", node.label, node.op->max_outputs, outs));
}

}  // namespace

Node checked_node(const onnx::NodeProto& proto, std::int64_t opset) {
  const std::string domain = proto.domain() == "ai.onnx" ? "" : proto.domain();
  Node node{.label = fmt::format("node '{}' ({}{}{})", proto.name(), domain, domain.empty() ? "" : " ",
                                 proto.op_type()),
            .op = find_op(domain, proto.op_type()),
            .opset = domain.empty() ? opset : 1,
            .proto = proto,
            .inputs = {},
            .outputs = {}};
  if (node.op == nullptr)
    throw FormatError(node.label +
                      ": this program computes no such operator; it checks the files that it writes");
  if (node.opset < node.op->since)
    throw FormatError(
        fmt::format("{}: expected opset {} or later, found {}", node.label, node.op->since, node.opset));
  check_attributes(node);
  check_counts(node);
  return node;
}

}  // namespace vitrail::onnx_export::reference
