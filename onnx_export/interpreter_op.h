#pragma once
// What an operator of the reference interpreter sees of its node, and the tables of operators, one a family.
// Semantics: onnx/onnx docs/Operators.md and docs/Changelog.md; of the domain com.microsoft:
// microsoft/onnxruntime docs/ContribOperators.md.

#include <onnx/onnx_pb.h>

#include <span>
#include <string>
#include <vector>

#include "onnx_export/interpreter_tensor.h"
#include "onnx_export/ops.h"
#include "onnx_export/products.h"

namespace vitrail::onnx_export::reference {

class NodeRun;

struct AttributeRule {
  const char* name;
  onnx::AttributeProto_AttributeType type;
};

// Every node is checked against its rule when the graph is loaded.
struct Op {
  std::string_view domain;  // "" or kMicrosoft
  const char* name;
  std::int64_t since;  // the first opset of its domain with the semantics computed here
  int min_inputs, max_inputs, max_outputs;
  std::vector<AttributeRule> attributes;
  void (*run)(NodeRun&);
};

inline constexpr auto kInt = onnx::AttributeProto_AttributeType_INT;
inline constexpr auto kInts = onnx::AttributeProto_AttributeType_INTS;
inline constexpr auto kFloat = onnx::AttributeProto_AttributeType_FLOAT;
inline constexpr auto kString = onnx::AttributeProto_AttributeType_STRING;

std::span<const Op> elementwise_ops();
std::span<const Op> product_ops();
std::span<const Op> layout_ops();
std::span<const Op> row_ops();  // along an axis: norms, softmax, means, the largest
std::span<const Op> attention_ops();
std::span<const Op> quantize_ops();
std::span<const Op> resize_ops();
const Op* find_op(const std::string& domain, const std::string& name);  // null when there is none

// A node of a loaded graph.
struct Node {
  std::string label;  // "node 'blocks.0/attn/MatMul' (MatMul)"
  const Op* op = nullptr;
  std::int64_t opset = 0;  // of the op's domain
  onnx::NodeProto proto;
  std::vector<int> inputs;  // values; -1 where an optional one is left out
  std::vector<int> outputs;
};

class NodeRun {
 public:
  NodeRun(const Node& node, std::vector<const Tensor*> inputs, std::shared_ptr<Budget> budget,
          Products& products)
      : node_(node),
        inputs_(std::move(inputs)),
        budget_(std::move(budget)),
        products_(products),
        outputs_(node.outputs.size()) {}

  const Tensor& in(std::size_t i) const;  // throws FormatError when it is left out
  const Tensor* optional(std::size_t i) const { return i < inputs_.size() ? inputs_[i] : nullptr; }
  std::size_t inputs() const { return inputs_.size(); }
  const Tensor& floats(std::size_t i) const;  // in(i), which must be f32 or f16
  Dims whole(std::size_t i) const;            // the elements of in(i), integers of at most one axis

  std::int64_t integer(const char* name, std::int64_t otherwise) const;
  double number(const char* name, double otherwise) const;
  std::string text(const char* name, const char* otherwise) const;
  Dims integers(const char* name) const;  // empty when it is not there
  bool has(const char* name) const { return find(name) != nullptr; }
  // Throws FormatError unless attribute `name` is left out or `expected`.
  void only(const char* name, std::int64_t expected) const;
  std::int64_t opset() const { return node_.opset; }
  const std::string& name() const { return node_.label; }

  // The axis that a number stands for, counted from the end when negative.
  std::size_t axis(std::int64_t number, const Tensor& x) const;

  Tensor make(Type type, Dims dims) const { return make_tensor(budget_, type, std::move(dims), node_.label); }
  std::size_t outputs() const { return outputs_.size(); }
  void out(std::size_t i, Tensor tensor);  // rounded when it is f16; ignored when the node has no such output
  Tensor take(std::size_t i) { return std::move(outputs_[i]); }

  [[noreturn]] void fail(const std::string& what) const;  // throws FormatError that names the node
  void require(bool good, const std::string& what) const {
    if (!good) fail(what);
  }
  Budget& budget() const { return *budget_; }
  // y (n, m) = a (n, k) · b (k, m), counted as work
  template <class T>
  void multiply(const T* a, const T* b, T* y, std::int64_t n, std::int64_t k, std::int64_t m) const {
    budget_->work(n, k, m);
    products_.multiply(a, b, y, n, k, m);
  }

 private:
  const onnx::AttributeProto* find(const char* name) const;

  const Node& node_;
  std::vector<const Tensor*> inputs_;
  std::shared_ptr<Budget> budget_;
  Products& products_;
  std::vector<Tensor> outputs_;
};

}  // namespace vitrail::onnx_export::reference
