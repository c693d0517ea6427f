#include "onnx_export/vit_graph.h"

#include <cassert>
#include <cmath>
#include <numbers>

#include "onnx_export/weights.h"

namespace vitrail::onnx_export {
namespace {

// timm's module as a path: "blocks.0.attn.qkv" → "blocks.0/attn/qkv".
std::string scope_of(const std::string& module) {
  std::string scope = module;
  for (std::size_t i = 0; i + 1 < scope.size(); ++i) {
    const bool numbered = scope[i + 1] >= '0' && scope[i + 1] <= '9';
    if (scope[i] == '.' && !numbered) scope[i] = '/';
  }
  return scope;
}

// Methods are named after timm's modules and take x (batch, tokens, dim) unless they say otherwise.
class VitGraph {
 public:
  VitGraph(Graph& graph, const Model& model, const Backend& backend)
      : graph_(graph), config_(model.config), weights_(graph, model, backend) {}

  void build() {
    Value x = stem(graph_.input("images", {kBatch, config_.in_chans, config_.img_size, config_.img_size}));
    for (std::int64_t i = 0; i < config_.depth; ++i) {
      const std::string block = "blocks." + std::to_string(i);
      x = graph_.map(scope_of(block), "Add", attention(block, x), x);
      x = graph_.map(scope_of(block), "Add", mlp(block, x), x);
    }
    graph_.output("logits", head(x));
  }

 private:
  // Prefix tokens without Shape, Expand or Concat: rows of zeros, and one constant that holds the rest.
  Value stem(const Value& images) {
    const Value weight = weights_.get("patch_embed.proj.weight");
    Value x = graph_.patches("patch_embed/proj", images, weight, weights_.find("patch_embed.proj.bias"));
    x = graph_.reshape("patch_embed", x, "patches.shape", {kBatch, config_.embed_dim, config_.patches()});
    x = graph_.transpose("patch_embed", x, {0, 2, 1});
    if (config_.prefix() > 0) x = graph_.pad_rows("pos_embed", x, config_.prefix());
    x = graph_.map("pos_embed", "Add", x, weights_.embedding());
    return config_.pre_norm ? norm("norm_pre", x) : x;
  }

  // softmax(q·kᵀ/√d)·v by heads; y = attn.proj of it, scaled by ls1. The scale stands at q, where runtimes
  // look for it to fuse the whole.
  Value attention(const std::string& block, const Value& x) {
    const std::string attn = block + ".attn", scope = scope_of(attn);
    const std::vector<Value> qkv = graph_.split(scope, linear(attn + ".qkv", norm(block + ".norm1", x)), 3);
    const float scale = 1 / std::sqrt(static_cast<float>(config_.head_dim()));
    Value q = heads(scope + "/q", qkv[0], {0, 2, 1, 3});
    q = graph_.map(scope + "/q", "Mul", q, graph_.scalar("attn.scale", scale));
    const Value k = heads(scope + "/k", qkv[1], {0, 2, 3, 1});
    const Value v = heads(scope + "/v", qkv[2], {0, 2, 1, 3});
    const Value probabilities = graph_.softmax(scope, graph_.matmul(scope, q, k));
    Value y = graph_.transpose(scope, graph_.matmul(scope, probabilities, v), {0, 2, 1, 3});
    y = graph_.reshape(scope, y, "tokens.shape", {kBatch, config_.tokens(), config_.embed_dim});
    return linear(attn + ".proj", y, block + ".ls1.gamma");
  }

  // (batch, tokens, heads, head_dim), permuted
  Value heads(const std::string& scope, const Value& x, const Dims& permutation) {
    const Dims dims{kBatch, config_.tokens(), config_.num_heads, config_.head_dim()};
    return graph_.transpose(scope, graph_.reshape(scope, x, "heads.shape", dims), permutation);
  }

  Value mlp(const std::string& block, const Value& x) {
    const Value hidden = linear(block + ".mlp.fc1", norm(block + ".norm2", x));
    return linear(block + ".mlp.fc2", gelu(scope_of(block) + "/mlp/act", hidden), block + ".ls2.gamma");
  }

  Value gelu(const std::string& scope, const Value& x) {
    switch (config_.gelu) {
      case GeluKind::erf:
        return gelu_erf(scope, x);
      case GeluKind::tanh:
        return gelu_tanh(scope, x);
      case GeluKind::quick:
        return gelu_quick(scope, x);
    }
    assert(false);
    return x;
  }

  // (erf(x/√2) + 1)·x·½
  Value gelu_erf(const std::string& scope, const Value& x) {
    Value y = graph_.map(scope, "Div", x, graph_.scalar("gelu.sqrt2", std::numbers::sqrt2_v<float>));
    y = graph_.map(scope, "Erf", y);
    y = graph_.map(scope, "Add", y, graph_.scalar("gelu.one", 1.0f));
    y = graph_.map(scope, "Mul", y, x);
    return graph_.map(scope, "Mul", y, graph_.scalar("gelu.half", 0.5f));
  }

  // (tanh(√(2/π)·x·(0.044715·x·x + 1)) + 1)·(x·½)
  Value gelu_tanh(const std::string& scope, const Value& x) {
    const float root = std::sqrt(2 * std::numbers::inv_pi_v<float>);
    Value y = graph_.map(scope, "Mul", x, graph_.scalar("gelu.cubic", 0.044715f));
    y = graph_.map(scope, "Mul", y, x);
    y = graph_.map(scope, "Add", y, graph_.scalar("gelu.one", 1.0f));
    y = graph_.map(scope, "Mul", graph_.map(scope, "Mul", x, graph_.scalar("gelu.root", root)), y);
    y = graph_.map(scope, "Tanh", y);
    y = graph_.map(scope, "Add", y, graph_.scalar("gelu.one", 1.0f));
    return graph_.map(scope, "Mul", graph_.map(scope, "Mul", x, graph_.scalar("gelu.half", 0.5f)), y);
  }

  // σ(1.702·x)·x
  Value gelu_quick(const std::string& scope, const Value& x) {
    Value y = graph_.map(scope, "Mul", x, graph_.scalar("gelu.quick", 1.702f));
    y = graph_.map(scope, "Sigmoid", y);
    return graph_.map(scope, "Mul", y, x);
  }

  // Returns logits (batch, num_classes): of a distilled model the mean of both heads.
  Value head(const Value& x) {
    if (config_.fc_norm) return linear("head", norm("fc_norm", pool(x)));
    const Value normed = norm("norm", x);
    const Value logits = linear("head", pool(normed));
    if (!config_.dist_token) return logits;
    const Value both = graph_.map("head", "Add", linear("head_dist", token("dist_token", normed, 1)), logits);
    return graph_.map("head", "Mul", both, graph_.scalar("head.half", 0.5f));
  }

  // (batch, dim): the class token or the mean of the patch tokens
  Value pool(const Value& x) {
    if (config_.global_pool == PoolKind::token) return token("pool", x, 0);
    const std::int64_t prefix = config_.prefix();
    return graph_.mean_rows("pool", prefix > 0 ? graph_.slice_rows("pool", x, prefix, config_.patches()) : x);
  }

  // (batch, dim): one token, by Slice and Reshape, which more runtimes take than Gather
  Value token(const std::string& scope, const Value& x, std::int64_t row) {
    return graph_.reshape(scope, graph_.slice_rows(scope, x, row, 1), "token.shape",
                          {kBatch, config_.embed_dim});
  }

  // x (…, dim)
  Value norm(const std::string& module, const Value& x) {
    const Value weight = weights_.get(module + ".weight");
    return graph_.layer_norm(scope_of(module), x, weight, weights_.get(module + ".bias"), config_.norm_eps);
  }

  // y = gamma ⊙ (x·Wᵀ + b), x (…, in); gamma, where the model has it, is folded into both.
  Value linear(const std::string& module, const Value& x, const std::string& gamma = "") {
    const std::string scope = scope_of(module);
    const Value y = graph_.matmul(scope, x, weights_.transposed(module + ".weight", gamma));
    const std::optional<Value> bias = weights_.bias(module + ".bias", gamma);
    return bias ? graph_.map(scope, "Add", y, *bias) : y;
  }

  Graph& graph_;
  const VitConfig& config_;
  Weights weights_;
};

}  // namespace

Graph build_vit(const Model& model, const Backend& backend) {
  Graph graph(model.config.name);
  VitGraph(graph, model, backend).build();
  return graph;
}

}  // namespace vitrail::onnx_export
