#pragma once
// A node against the rule of its operator, before anything is computed.

#include "onnx_export/interpreter_op.h"

namespace vitrail::onnx_export::reference {

// Operator, opset, numbers of inputs and outputs, names and types of attributes. `opset` is that of the
// default domain. Throws FormatError that names the node.
Node checked_node(const onnx::NodeProto& proto, std::int64_t opset);

}  // namespace vitrail::onnx_export::reference
