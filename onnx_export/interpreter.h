#pragma once
// A small reference interpreter of the operators that the exporter emits (ops.h), for files that must prove
// themselves: f32 arithmetic, f16 tensors rounded between operators, integers exact. It is right before it is
// fast, and trusts nothing in a file: whatever is wrong becomes a FormatError that names node or tensor.

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "onnx_export/interpreter_op.h"
#include "onnx_export/model_parts.h"

namespace vitrail::onnx_export::reference {

// A tensor as the file declares it. An extent is a number, or -1 and named where it is open.
struct Declared {
  std::string name;
  Type type = Type::f32;
  Dims dims;
  std::vector<std::string> open;  // by axis; empty where the extent is a number
  bool shaped = true;             // false: the file says nothing of its shape
};

// Sees every tensor that a node computes, in order.
using Observer = std::function<void(const std::string& value, const Tensor& tensor)>;

class Graph {
 public:
  // Checks versions, nodes, attributes, names and their order. `parts` must outlive the graph.
  explicit Graph(const ModelParts& parts);

  const std::vector<Declared>& inputs() const { return inputs_; }
  const std::vector<Declared>& outputs() const { return outputs_; }
  std::int64_t nodes() const { return static_cast<std::int64_t>(nodes_.size()); }
  std::int64_t opset() const { return opset_; }
  bool uses(const std::string& domain) const { return domains_.count(domain) != 0; }

  // inputs in the order of inputs(); the outputs in the order of outputs(). Every tensor is compared with
  // what the file declares of it. A constant is decoded when a node asks for it and given up behind the last
  // that does.
  std::vector<Tensor> run(std::vector<Tensor> inputs, Products& products,
                          const std::shared_ptr<Budget>& budget, const Observer& observer = {}) const;

 private:
  // What is known by a name: where it comes from and the last node that reads it.
  struct Value {
    std::string name;
    int constant = -1;  // in parts_.constants
    int last_use = -1;  // in nodes_; kKept for outputs
    int declared = -1;  // in declared_
  };
  static constexpr int kKept = INT32_MAX;

  struct State;
  void read_versions();
  void read_declarations();
  Declared declaration(const onnx::ValueInfoProto& info) const;
  int add_value(const std::string& name);
  int known(const std::string& name, const std::string& reader) const;
  void read_node(const onnx::NodeProto& proto);
  void check(const State& state, int value, const Tensor& tensor) const;
  void run_node(State& state, std::size_t index) const;

  const ModelParts& parts_;
  std::int64_t opset_ = 0;
  std::set<std::string> domains_;
  std::vector<Declared> inputs_, outputs_, declared_;
  std::vector<int> input_values_, output_values_;
  std::vector<Value> values_;
  std::map<std::string, int> by_name_;
  std::vector<Node> nodes_;
};

}  // namespace vitrail::onnx_export::reference
