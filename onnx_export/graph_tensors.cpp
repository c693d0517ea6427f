// Initialisers.

#include <bit>
#include <cassert>
#include <cstring>

#include "onnx_export/graph.h"
#include "onnx_export/half.h"

namespace vitrail::onnx_export {
namespace {

static_assert(std::endian::native == std::endian::little, "raw_data is little-endian");

onnx::TensorProto head_of(const std::string& name, const Dims& dims, Type type) {
  onnx::TensorProto head;
  head.set_name(name);
  head.set_data_type(static_cast<std::int32_t>(type));
  for (const std::int64_t extent : dims)
    head.add_dims(extent);
  return head;
}

std::uint64_t elements(const Dims& dims) {
  std::uint64_t product = 1;
  for (const std::int64_t extent : dims)
    product *= static_cast<std::uint64_t>(extent);
  return product;
}

std::string produced(const Payload& payload) {
  std::string raw;
  raw.reserve(payload.bytes);
  payload.produce(
      [&](Bytes piece) { raw.append(reinterpret_cast<const char*>(piece.data()), piece.size()); });
  assert(raw.size() == payload.bytes);
  return raw;
}

}  // namespace

std::uint64_t size_of(Type type) {
  switch (type) {
    case Type::u8:
    case Type::i8:
      return 1;
    case Type::f16:
      return 2;
    case Type::f32:
    case Type::i32:
      return 4;
    case Type::i64:
      return 8;
  }
  assert(false);
  return 0;
}

Value Graph::weight(const std::string& name, Dims dims, Type type, Producer produce) {
  [[maybe_unused]] const bool fresh = names_.insert(name).second;
  assert(fresh);
  Payload payload{head_of(name, dims, type), elements(dims) * size_of(type), std::move(produce)};
  if (payload.bytes < kInline) {
    onnx::TensorProto& tensor = *model_.mutable_graph()->add_initializer();
    tensor = payload.head;
    tensor.set_raw_data(produced(payload));
  } else {
    payloads_.push_back(std::move(payload));
  }
  return {name, std::move(dims), type};
}

Value Graph::floats(const std::string& name, Dims dims, std::vector<float> elements) {
  const auto kept = std::make_shared<const std::vector<float>>(std::move(elements));
  return weight(name, std::move(dims), Type::f32,
                [kept](const Sink& sink) { sink(std::as_bytes(std::span(*kept))); });
}

Value Graph::tensor(const std::string& name, Type type, const Dims& dims, Bytes bytes) {
  if (names_.insert(name).second) {
    onnx::TensorProto& tensor = *model_.mutable_graph()->add_initializer();
    tensor = head_of(name, dims, type);
    tensor.set_raw_data(bytes.data(), bytes.size());
  }
  return {name, dims, type};
}

Value Graph::scalar(const std::string& name, float element) {
  return tensor(name, Type::f32, {}, std::as_bytes(std::span(&element, 1)));
}

Value Graph::half_scalar(const std::string& name, float element) {
  const std::uint16_t half = to_half(element);
  return tensor(name + ".f16", Type::f16, {}, std::as_bytes(std::span(&half, 1)));
}

Value Graph::integers(const std::string& name, const Dims& elements) {
  return tensor(name, Type::i64, {static_cast<std::int64_t>(elements.size())},
                std::as_bytes(std::span(elements)));
}

onnx::ModelProto Graph::complete() const {
  onnx::ModelProto model = model_;
  for (const Payload& payload : payloads_) {
    onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
    tensor = payload.head;
    tensor.set_raw_data(produced(payload));
  }
  return model;
}

onnx::ModelProto Graph::skeleton() const {
  onnx::ModelProto model = model_;
  for (const Payload& payload : payloads_) {
    onnx::ValueInfoProto& input = *model.mutable_graph()->add_input();
    input.set_name(payload.head.name());
    onnx::TypeProto_Tensor& type = *input.mutable_type()->mutable_tensor_type();
    type.set_elem_type(payload.head.data_type());
    for (const std::int64_t extent : payload.head.dims())
      type.mutable_shape()->add_dim()->set_dim_value(extent);
  }
  return model;
}

}  // namespace vitrail::onnx_export
