#pragma once
// Builds an ONNX model node by node with the official messages. Every tensor's shape is known when its node
// is added and is written as value_info. Operators: onnx/onnx docs/Changelog.md, as of opset 17.

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace vitrail::onnx_export {

inline constexpr std::int64_t kOpset = 17;
inline constexpr std::int64_t kIrVersion = 8;
inline constexpr std::int64_t kBatch = -1;  // the extent of the batch axis, which the file leaves open

using Dims = std::vector<std::int64_t>;

// A tensor of the graph.
struct Value {
  std::string name;
  Dims dims;
};

// Nodes are named scope/Operator, and scope/Operator_1 where that is taken; their outputs bear their names.
class Graph {
 public:
  explicit Graph(const std::string& name);

  Value input(const std::string& name, Dims dims);
  void output(const std::string& name, const Value& value);  // of the node added last
  void metadata(const std::string& key, const std::string& text);

  // Initialisers. scalar() and integers() give the same one again when asked for a name twice.
  Value floats(const std::string& name, Dims dims, std::span<const float> elements);
  Value scalar(const std::string& name, float element);
  Value integers(const std::string& name, const Dims& elements);

  // y = op(x), y = op(x, b); b broadcasts to x's shape.
  Value map(const std::string& scope, const std::string& op, const Value& x);
  Value map(const std::string& scope, const std::string& op, const Value& x, const Value& b);
  // (…, n, k) · (k, m) or (…, k, m) → (…, n, m)
  Value matmul(const std::string& scope, const Value& a, const Value& b);
  // images (batch, C, H, W), weight (dim, C, P, P), bias (dim) → (batch, dim, H/P, W/P)
  Value patches(const std::string& scope, const Value& images, const Value& weight,
                const std::optional<Value>& bias);
  Value layer_norm(const std::string& scope, const Value& x, const Value& weight, const Value& bias,
                   double eps);
  Value softmax(const std::string& scope, const Value& x);  // over the last axis
  Value reshape(const std::string& scope, const Value& x, const std::string& shape_name, const Dims& dims);
  Value transpose(const std::string& scope, const Value& x, const Dims& permutation);
  // Equal parts of the last axis.
  std::vector<Value> split(const std::string& scope, const Value& x, std::int64_t parts);
  // x (batch, n, dim): `rows` rows of zeros before the others; rows [first, first + count); the mean row.
  Value pad_rows(const std::string& scope, const Value& x, std::int64_t rows);
  Value slice_rows(const std::string& scope, const Value& x, std::int64_t first, std::int64_t count);
  Value mean_rows(const std::string& scope, const Value& x);

  std::int64_t nodes() const { return model_.graph().node_size(); }
  const onnx::ModelProto& model() const { return model_; }

 private:
  onnx::NodeProto& node(const std::string& scope, const std::string& op, std::initializer_list<Value> inputs);
  Value result(onnx::NodeProto& node, Dims dims);
  Value result(onnx::NodeProto& node, const std::string& name, Dims dims);

  onnx::ModelProto model_;
  std::set<std::string> names_;  // of nodes and initialisers
};

}  // namespace vitrail::onnx_export
