// libFuzzer target (tests/format/fuzz.cmake): ONNX files, taken apart, loaded, computed and checked. Half of
// the mutants are changed as messages, and get a hash that is right, so that they reach the interpreter.
// Besides success, only a FormatError may happen.

#include <cstdlib>
#include <random>

#include "format/error.h"
#include "onnx_export/verify_onnx.h"

namespace {

using namespace vitrail::onnx_export;

const reference::Limits kLimits{.memory = 32 << 20, .work = 1 << 24, .structure = 1 << 20};

std::optional<reference::ModelParts> parts_of(std::span<const std::byte> bytes) {
  try {
    return reference::ModelParts::of(bytes, {}, kLimits);
  } catch (const vitrail::format::FormatError&) {
    return std::nullopt;
  }
}

void verify(const std::string& file) {
  static const auto products = reference::plain_products();
  try {
    const auto parts = reference::ModelParts::of(std::as_bytes(std::span(file)), {}, kLimits);
    (void)verify_onnx(parts, *products, kLimits);
  } catch (const vitrail::format::FormatError&) {
  }
}

// With the hash that belongs to its content.
std::string repaired(const std::string& file) {
  const std::optional<reference::ModelParts> parts = parts_of(std::as_bytes(std::span(file)));
  onnx::ModelProto model;
  if (!parts || !model.ParseFromString(file)) return file;
  for (onnx::StringStringEntryProto& entry : *model.mutable_metadata_props()) {
    if (entry.key() == kHashKey) entry.set_value(parts->content_hash(kHashKey));
  }
  return model.SerializeAsString();
}

template <class List>
auto* any(List& list, std::mt19937& random) {
  return list.empty() ? nullptr : &list[static_cast<int>(random() % static_cast<unsigned>(list.size()))];
}

std::int64_t number(std::mt19937& random) {
  constexpr std::int64_t kOdd[] = {0, 1,  -1,      2,         3,         5,         -2,
                                   8, 65, 1 << 20, INT32_MAX, INT64_MAX, INT64_MIN, -9};
  return kOdd[random() % std::size(kOdd)];
}

void change_attribute(onnx::AttributeProto& attribute, std::mt19937& random) {
  if (random() % 4 == 0) {
    attribute.set_type(static_cast<onnx::AttributeProto_AttributeType>(random() % 12));
  } else if (attribute.ints_size() > 0) {
    *any(*attribute.mutable_ints(), random) = number(random);
  } else {
    attribute.set_i(number(random));
    attribute.set_f(static_cast<float>(number(random)));
  }
}

// Operators with few demands, in place of others.
constexpr const char* kOps[] = {
    "Add",   "Cast",   "Concat", "Conv",    "DequantizeLinear", "MatMul",
    "Pad",   "Resize", "Slice",  "Softmax", "QuantizeLinear",   "ReduceMean",
    "Split", "TopK",   "Shape",  "Reshape", "MatMulInteger",    "DynamicQuantizeLinear",
    "Clip",  "Sub",    "Gelu",   "Swish",   "Attention",        "LayerNormalization"};

void change_node(onnx::NodeProto& node, onnx::GraphProto& graph, std::mt19937& random) {
  switch (random() % 6) {
    case 0:
      node.set_op_type(kOps[random() % std::size(kOps)]);
      node.clear_attribute();
      break;
    case 1:
      if (std::string* input = any(*node.mutable_input(), random))
        *input = any(*graph.mutable_initializer(), random)->name();
      break;
    case 2:
      if (std::string* input = any(*node.mutable_input(), random))
        *input = any(*graph.mutable_node(), random)->output(0);
      break;
    case 3:
      node.add_input(any(*graph.mutable_initializer(), random)->name());
      break;
    case 4:
      if (node.input_size() > 0) node.mutable_input()->RemoveLast();
      break;
    default:
      if (onnx::AttributeProto* attribute = any(*node.mutable_attribute(), random))
        change_attribute(*attribute, random);
  }
}

void change_tensor(onnx::TensorProto& tensor, std::mt19937& random) {
  std::string& raw = *tensor.mutable_raw_data();
  if (tensor.data_type() == onnx::TensorProto_DataType_INT64 && raw.size() >= 8) {
    const std::int64_t changed = number(random);
    std::memcpy(raw.data() + random() % (raw.size() / 8) * 8, &changed, 8);
  } else if (tensor.dims_size() > 1 && random() % 2 == 0) {
    tensor.mutable_dims()->SwapElements(0, tensor.dims_size() - 1);
  } else if (random() % 4 == 0) {
    constexpr std::pair<int, std::size_t> kTypes[] = {{1, 4}, {2, 1}, {3, 1}, {6, 4},
                                                      {7, 8}, {9, 1}, {10, 2}};
    const auto& [type, size] = kTypes[random() % std::size(kTypes)];
    tensor.set_data_type(type);
    std::size_t count = 1;
    for (const std::int64_t extent : tensor.dims())
      count *= static_cast<std::size_t>(extent & 0xFF);
    raw.resize(count * size);
  } else if (!raw.empty()) {
    raw[random() % raw.size()] = static_cast<char>(random());
  }
}

void change(onnx::ModelProto& model, std::mt19937& random) {
  onnx::GraphProto& graph = *model.mutable_graph();
  if (graph.node_size() == 0 || graph.initializer_size() == 0) return;
  for (const onnx::NodeProto& node : graph.node()) {
    if (node.output_size() == 0) return;
  }
  switch (random() % 8) {
    case 0:
      model.mutable_opset_import(0)->set_version(13 + random() % 12);
      break;
    case 1:
      change_tensor(*any(*graph.mutable_initializer(), random), random);
      break;
    case 2:
      graph.clear_value_info();
      break;
    default:
      change_node(*any(*graph.mutable_node(), random), graph, random);
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  std::mt19937 random(seed);
  onnx::ModelProto model;
  if (seed % 2 == 0 || !model.ParseFromArray(data, static_cast<int>(size)) || model.opset_import_size() == 0)
    return LLVMFuzzerMutate(data, size, max_size);
  for (unsigned changes = 1 + random() % 3; changes > 0; --changes)
    change(model, random);
  const std::string mutant = model.SerializeAsString();
  if (mutant.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  std::copy(mutant.begin(), mutant.end(), data);
  return mutant.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string file(reinterpret_cast<const char*>(data), size);
  verify(file);
  verify(repaired(file));
  return 0;
}
