// ONNX's own checker and shape inference on a file's skeleton: weights, which neither looks at, become
// inputs.

#include <fmt/format.h>
#include <onnx/checker.h>
#include <onnx/common/constants.h>
#include <onnx/defs/schema.h>
#include <onnx/shape_inference/implementation.h>

#include "format/error.h"
#include "onnx_export/verify_onnx.h"

namespace vitrail::onnx_export {
namespace {

constexpr std::size_t kSmall = 4096;  // bytes of shapes, axes and the like, which inference reads

bool is_known(const onnx::ModelProto& model) {
  if (model.ir_version() > onnx::Version::IR_VERSION) return false;
  const auto& known = onnx::OpSchemaRegistry::DomainToVersionRange::Instance().Map();
  for (const onnx::OperatorSetIdProto& set : model.opset_import()) {
    const auto range = known.find(set.domain() == "ai.onnx" ? "" : set.domain());
    if (range != known.end() && set.version() > range->second.second) return false;
  }
  return true;
}

void add_input(onnx::GraphProto& graph, const reference::Constant& constant) {
  onnx::ValueInfoProto& input = *graph.add_input();
  input.set_name(constant.name);
  onnx::TypeProto_Tensor& type = *input.mutable_type()->mutable_tensor_type();
  type.set_elem_type(static_cast<int>(constant.type));
  type.mutable_shape();
  for (const std::int64_t extent : constant.dims)
    type.mutable_shape()->add_dim()->set_dim_value(extent);
}

}  // namespace

bool check_officially(const reference::ModelParts& parts) {
  if (!is_known(parts.skeleton)) return false;
  onnx::ModelProto model = parts.skeleton;
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.clear_initializer();
  for (const reference::Constant& constant : parts.constants) {
    if (constant.type != reference::Type::i64 || constant.bytes.size() > kSmall) {
      add_input(graph, constant);
      continue;
    }
    onnx::TensorProto& tensor = *graph.add_initializer();
    tensor.set_name(constant.name);
    tensor.set_data_type(static_cast<int>(constant.type));
    for (const std::int64_t extent : constant.dims)
      tensor.add_dims(extent);
    tensor.set_raw_data(constant.bytes.data(), constant.bytes.size());
  }
  try {
    onnx::checker::check_model(model);
    const onnx::ShapeInferenceOptions strict(true, 1, true);
    onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(), strict);
  } catch (const std::exception& error) {
    throw format::FormatError(fmt::format("ONNX's checker: {}", error.what()));
  }
  return true;
}

}  // namespace vitrail::onnx_export
