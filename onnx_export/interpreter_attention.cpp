#include <fmt/format.h>

#include <cmath>

#include "onnx_export/interpreter_broadcast.h"
#include "onnx_export/interpreter_op.h"
#include "onnx_export/interpreter_softmax.h"

namespace vitrail::onnx_export::reference {
namespace {

// softmax(scale·q·kᵀ + bias)·v by heads
struct Heads {
  std::int64_t batch = 0, heads = 0, kv_heads = 0, queries = 0, keys = 0, size = 0, value_size = 0;
  double scale = 1;
  const Tensor* bias = nullptr;  // broadcast to (batch, heads, queries, keys)

  // q, k, v (batch, heads, tokens, size); result (batch, heads, queries, value_size)
  Tensor run(const NodeRun& node, const Tensor& q, const Tensor& k, const Tensor& v) const {
    Tensor y = node.make(q.type, {batch, heads, queries, value_size});
    Tensor scores = node.make(Type::f32, {queries, keys}), turned = node.make(Type::f32, {size, keys});
    const Dims whole{batch, heads, queries, keys};
    const Dims steps = bias == nullptr ? Dims(4, 0) : steps_of(bias->dims, whole);
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t h = 0; h < heads; ++h) {
        const std::int64_t pair = b * kv_heads + h / (heads / kv_heads);
        const float* from = k.floats() + pair * keys * size;
        for (std::int64_t i = 0; i < keys; ++i) {
          for (std::int64_t j = 0; j < size; ++j)
            turned.floats()[j * keys + i] = from[i * size + j];
        }
        node.multiply(q.floats() + (b * heads + h) * queries * size, turned.floats(), scores.floats(),
                      queries, size, keys);
        for (std::int64_t i = 0; i < queries; ++i) {
          float* row = scores.floats() + i * keys;
          for (std::int64_t j = 0; j < keys; ++j) {
            row[j] *= static_cast<float>(scale);
            if (bias != nullptr)
              row[j] += bias->floats()[b * steps[0] + h * steps[1] + i * steps[2] + j * steps[3]];
          }
          softmax_row(row, row, keys, 1);
        }
        node.multiply(scores.floats(), v.floats() + pair * keys * value_size,
                      y.floats() + (b * heads + h) * queries * value_size, queries, keys, value_size);
      }
    }
    return y;
  }
};

// x (batch, tokens, heads·size), with a bias of heads·size from `offset` on, → (batch, heads, tokens, size)
Tensor to_heads(const NodeRun& run, const Tensor& x, std::int64_t heads, const Tensor* bias,
                std::int64_t offset) {
  const std::int64_t batch = x.dims[0], tokens = x.dims[1], size = x.dims[2] / heads;
  Tensor y = run.make(x.type, {batch, heads, tokens, size});
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t i = 0; i < heads * size; ++i)
        y.floats()[((b * heads + i / size) * tokens + t) * size + i % size] =
            x.floats()[(b * tokens + t) * heads * size + i] +
            (bias == nullptr ? 0 : bias->floats()[offset + i]);
    }
  }
  y.round();
  return y;
}

// (batch, heads, tokens, size) → (batch, tokens, heads·size)
Tensor from_heads(const NodeRun& run, const Tensor& x) {
  const std::int64_t batch = x.dims[0], heads = x.dims[1], tokens = x.dims[2], size = x.dims[3];
  Tensor y = run.make(x.type, {batch, tokens, heads * size});
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t t = 0; t < tokens; ++t)
        std::copy_n(x.floats() + ((b * heads + h) * tokens + t) * size, size,
                    y.floats() + ((b * tokens + t) * heads + h) * size);
    }
  }
  return y;
}

// Takes the sizes of q, k, v (batch, heads, tokens, size); throws FormatError when they do not fit.
Heads fitting(const NodeRun& run, const Tensor& q, const Tensor& k, const Tensor& v) {
  run.require(q.type == k.type && k.type == v.type, "expected q, k and v of one type");
  run.require(k.dims[0] == q.dims[0] && v.dims[0] == q.dims[0] && k.dims[1] == v.dims[1] &&
                  q.dims[1] % k.dims[1] == 0 && k.dims[2] == v.dims[2] && k.dims[3] == q.dims[3],
              fmt::format("q, k and v do not fit each other: {}, {} and {}", to_string(q.dims),
                          to_string(k.dims), to_string(v.dims)));
  Heads heads{.batch = q.dims[0],
              .heads = q.dims[1],
              .kv_heads = k.dims[1],
              .queries = q.dims[2],
              .keys = k.dims[2],
              .size = q.dims[3],
              .value_size = v.dims[3]};
  heads.scale = 1 / std::sqrt(static_cast<double>(heads.size));
  return heads;
}

void take_bias(const NodeRun& run, Heads& heads, const Tensor& bias, const Tensor& q) {
  const Dims whole{heads.batch, heads.heads, heads.queries, heads.keys};
  run.require(
      bias.type == q.type && bias.rank() >= 2 && bias.rank() <= 4 &&
          broadcast(run, bias.dims, whole) == whole,
      fmt::format("a mask or bias of {} does not fit scores of {}", to_string(bias.dims), to_string(whole)));
  heads.bias = &bias;
}

std::int64_t counted(const NodeRun& run, const char* name, const Tensor& x) {
  const std::int64_t heads = run.integer(name, 0);
  run.require(heads >= 1 && x.dims[2] % heads == 0,
              fmt::format("attribute {}: expected a number of heads that divides {}, found {}", name,
                          x.dims[2], heads));
  return heads;
}

// Of opset 23: q, k, v of rank 3 with numbers of heads, or of rank 4.
void attention(NodeRun& run) {
  const Tensor &q = run.floats(0), &k = run.floats(1), &v = run.floats(2);
  for (const char* name : {"is_causal", "qk_matmul_output_mode"})
    run.only(name, 0);
  run.only("softmax_precision", 1);
  run.require(run.number("softcap", 0) == 0, "attribute softcap: this program computes 0 only");
  run.require((q.rank() == 3 || q.rank() == 4) && k.rank() == q.rank() && v.rank() == q.rank(),
              "expected q, k and v of three or of four axes");
  const bool flat = q.rank() == 3;
  const auto by_heads = [&](const Tensor& x, const char* name) {
    return flat ? to_heads(run, x, counted(run, name, x), nullptr, 0) : x;
  };
  const Tensor queries = by_heads(q, "q_num_heads"), keys = by_heads(k, "kv_num_heads"),
               values = by_heads(v, "kv_num_heads");
  Heads heads = fitting(run, queries, keys, values);
  heads.scale = run.number("scale", heads.scale);
  if (run.optional(3) != nullptr) take_bias(run, heads, run.floats(3), q);
  Tensor y = heads.run(run, queries, keys, values);
  run.out(0, flat ? from_heads(run, y) : std::move(y));
}

// Of com.microsoft: q, k, v (batch, tokens, heads·size), a bias for all three in one, an attention bias.
void multi_head_attention(NodeRun& run) {
  const Tensor &q = run.floats(0), &k = run.floats(1), &v = run.floats(2);
  run.only("unidirectional", 0);
  run.require(q.rank() == 3 && k.rank() == 3 && v.rank() == 3, "expected q, k and v of three axes");
  run.require(run.optional(4) == nullptr, "this program computes no key padding mask");
  const Tensor* bias = run.optional(3) == nullptr ? nullptr : &run.floats(3);
  run.require(
      bias == nullptr || (bias->type == q.type && bias->dims == Dims{q.dims[2] + k.dims[2] + v.dims[2]}),
      "the bias does not fit q, k and v");
  const Tensor queries = to_heads(run, q, counted(run, "num_heads", q), bias, 0);
  const Tensor keys = to_heads(run, k, counted(run, "num_heads", k), bias, q.dims[2]);
  const Tensor values = to_heads(run, v, counted(run, "num_heads", v), bias, q.dims[2] + k.dims[2]);
  Heads heads = fitting(run, queries, keys, values);
  const double scale = run.number("scale", 0);  // 0 stands for 1/√size there
  if (scale != 0) heads.scale = scale;
  if (run.optional(5) != nullptr) take_bias(run, heads, run.floats(5), q);
  run.out(0, from_heads(run, heads.run(run, queries, keys, values)));
}

const std::vector<Op> kAttentionOps = {
    {"",
     "Attention",
     23,
     3,
     4,
     1,
     {{"is_causal", kInt},
      {"kv_num_heads", kInt},
      {"q_num_heads", kInt},
      {"qk_matmul_output_mode", kInt},
      {"scale", kFloat},
      {"softcap", kFloat},
      {"softmax_precision", kInt}},
     attention},
    {kMicrosoft,
     "MultiHeadAttention",
     1,
     3,
     6,
     1,
     {{"num_heads", kInt}, {"scale", kFloat}, {"mask_filter_value", kFloat}, {"unidirectional", kInt}},
     multi_head_attention},
};

}  // namespace

std::span<const Op> attention_ops() {
  return kAttentionOps;
}

}  // namespace vitrail::onnx_export::reference
