#pragma once
// Builds an ONNX model node by node with the official messages. Every tensor's type and shape are known when
// its node is added and are written as value_info. Large initialisers have no bytes here: they are made when
// the file is written (onnx_export/model_writer.h).

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace vitrail::onnx_export {

// Extents that the file leaves open; each but the last has a name there.
inline constexpr std::int64_t kBatch = -1, kHeight = -2, kWidth = -3, kOpen = -4;

using Dims = std::vector<std::int64_t>;

// Of elements; the numbers are TensorProto's.
enum class Type : std::int32_t { f32 = 1, u8 = 2, i8 = 3, i32 = 6, i64 = 7, f16 = 10 };
std::uint64_t size_of(Type type);  // bytes

// A tensor of the graph.
struct Value {
  std::string name;
  Dims dims;
  Type type = Type::f32;
};

struct Attribute {
  const char* name;
  std::variant<std::int64_t, double, Dims, std::string> value;
};

using Bytes = std::span<const std::byte>;
using Sink = std::function<void(Bytes)>;
// Hands the elements to the sink, in order, in pieces; gives the same ones every time.
using Producer = std::function<void(const Sink&)>;

// An initialiser without bytes, and where they come from.
struct Payload {
  onnx::TensorProto head;  // name, type, dims
  std::uint64_t bytes = 0;
  Producer produce;
};

struct GraphOptions {
  std::int64_t opset = 17, ir_version = 8;
  std::int64_t batch = kBatch;  // kBatch leaves it open
};

// Nodes are named scope/Operator, and scope/Operator_1 where that is taken; their outputs bear their names.
class Graph {
 public:
  explicit Graph(const std::string& name, const GraphOptions& options = {});

  Value input(const std::string& name, Dims dims, Type type = Type::f32);
  // `value`, made by a node, under a name for users.
  void output(const std::string& name, const Value& value);
  void metadata(const std::string& key, const std::string& text);

  // Initialisers. Those of fewer than kInline bytes are in model(), others in payloads().
  static constexpr std::uint64_t kInline = 1024;
  Value weight(const std::string& name, Dims dims, Type type, Producer produce);
  Value floats(const std::string& name, Dims dims, std::vector<float> elements);
  // The same one again when asked for a name twice.
  Value scalar(const std::string& name, float element);
  Value half_scalar(const std::string& name, float element);  // the same in f16, as NAME.f16
  Value integers(const std::string& name, const Dims& elements);
  Value tensor(const std::string& name, Type type, const Dims& dims, Bytes elements);

  // A node with one output. `op` may have a domain: "com.microsoft.Gelu".
  struct Result {
    Dims dims;
    Type type = Type::f32;
  };
  Value add(const std::string& scope, const std::string& op, const std::vector<Value>& inputs, Result result,
            const std::vector<Attribute>& attributes = {});
  // One with several outputs, scope/Operator.0 and so on, less those to be skipped.
  struct Output {
    Dims dims;
    Type type = Type::f32;
    bool skip = false;
  };
  std::vector<Value> add_many(const std::string& scope, const std::string& op,
                              const std::vector<Value>& inputs, const std::vector<Output>& outputs,
                              const std::vector<Attribute>& attributes = {});

  // y = op(x), y = op(x, b); b broadcasts to x's shape.
  Value map(const std::string& scope, const std::string& op, const Value& x);
  Value map(const std::string& scope, const std::string& op, const Value& x, const Value& b);
  Value cast(const std::string& scope, const Value& x, Type type);  // x itself where it has the type
  // (…, n, k) · (k, m) or (…, k, m) → (…, n, m)
  Value matmul(const std::string& scope, const Value& a, const Value& b);
  Value softmax(const std::string& scope, const Value& x);  // over the last axis
  // The batch, where it is open, becomes -1.
  Value reshape(const std::string& scope, const Value& x, const std::string& shape_name, const Dims& dims);
  Value transpose(const std::string& scope, const Value& x, const Dims& permutation);
  // Equal parts of the last axis.
  std::vector<Value> split(const std::string& scope, const Value& x, std::int64_t parts);
  Value concat(const std::string& scope, const Value& a, const Value& b, std::int64_t axis);
  // x (batch, n, dim): `rows` rows of zeros before the others.
  Value pad_rows(const std::string& scope, const Value& x, std::int64_t rows);
  // Rows [first, first + count) of axis 1 or `axis`.
  Value slice_rows(const std::string& scope, const Value& x, std::int64_t first, std::int64_t count,
                   std::int64_t axis = 1);
  Value mean(const std::string& scope, const Value& x, std::int64_t axis);  // without the axis

  std::int64_t opset() const { return options_.opset; }
  std::int64_t batch() const { return options_.batch; }
  std::int64_t nodes() const { return model_.graph().node_size(); }
  std::int64_t count(const std::string& op) const;  // nodes of an operator

  const onnx::ModelProto& model() const { return model_; }
  const std::vector<Payload>& payloads() const { return payloads_; }
  // With the bytes of every initialiser, for small models.
  onnx::ModelProto complete() const;
  // With what is large as an input: what a checker needs, without the bytes.
  onnx::ModelProto skeleton() const;

 private:
  onnx::NodeProto& node(const std::string& scope, const std::string& op, const std::vector<Value>& inputs,
                        const std::vector<Attribute>& attributes);
  Value result(onnx::NodeProto& node, const std::string& name, Dims dims, Type type);
  void import_domain(const std::string& domain);

  GraphOptions options_;
  onnx::ModelProto model_;
  std::vector<Payload> payloads_;
  std::set<std::string> names_;  // of nodes and initialisers
};

}  // namespace vitrail::onnx_export
