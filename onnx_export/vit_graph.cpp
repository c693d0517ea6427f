#include "onnx_export/vit_graph.h"

#include <algorithm>
#include <cassert>

#include "onnx_export/image_input.h"
#include "onnx_export/layers.h"

namespace vitrail::onnx_export {
namespace {

std::string block_name(std::int64_t block) {
  return "blocks." + std::to_string(block);
}

// Methods are named after timm's modules and take x (batch, tokens, dim) unless they say otherwise.
class VitGraph {
 public:
  VitGraph(Graph& graph, const Subject& subject, const ExportOptions& options, const Ranges& ranges)
      : graph_(graph),
        config_(subject.config),
        input_(subject.input),
        options_(options),
        weights_(graph, subject.config, subject.input, subject.parameters),
        layers_(graph, weights_, subject.config, options, ranges) {}

  void build() {
    const State last = blocks(stem(image_input(graph_, input_, options_)));
    if (options_.output == Output::features) return features(last);
    const Value logits = head(last);
    switch (options_.output) {
      case Output::logits:
        return graph_.output("logits", logits);
      case Output::attention:
        return with_maps(logits);
      case Output::probabilities:
        return graph_.output("probabilities", graph_.softmax("probabilities", logits));
      case Output::topk:
        return top(graph_.softmax("probabilities", logits));
      case Output::features:
        break;
    }
    assert(false);
  }

 private:
  // The residual stream, and what the next module reads of it.
  struct State {
    Value x, normed;
  };

  // Prefix tokens without Shape or Expand: rows of zeros and one constant that holds the rest, or, for
  // runtimes that cannot pad, a constant of the whole batch.
  Value stem(const Value& images) {
    Value x = patch_embed(images);
    x = graph_.reshape("patch_embed", x, "patches.shape",
                       {graph_.batch(), config_.embed_dim, config_.patches()});
    x = graph_.transpose("patch_embed", x, {0, 2, 1});
    if (options_.profile == Profile::fixed_batch && config_.prefix() > 0) {
      x = graph_.map("pos_embed", "Add", x, weights_.patch_positions());
      x = graph_.concat("pos_embed", weights_.prefix(graph_.batch()), x, 1);
    } else {
      if (config_.prefix() > 0) x = graph_.pad_rows("pos_embed", x, config_.prefix());
      x = graph_.map("pos_embed", "Add", x, weights_.embedding());
    }
    return config_.pre_norm ? layers_.norm("norm_pre", x) : x;
  }

  // images (batch, channels, size, size) → (batch, dim, grid, grid)
  Value patch_embed(const Value& images) {
    const Weights::Patches patches = weights_.patches(options_.input == InputKind::samples);
    std::vector<Value> inputs = {images, patches.weight};
    if (patches.bias) inputs.push_back(*patches.bias);
    const Dims patch(2, config_.patch_size);
    return graph_.add("patch_embed/proj", "Conv", inputs,
                      {{graph_.batch(), config_.embed_dim, config_.grid(), config_.grid()}},
                      {{"kernel_shape", patch}, {"strides", patch}});
  }

  State blocks(const Value& x) {
    State state{x, layers_.norm("blocks.0.norm1", x)};
    for (std::int64_t i = 0; i < config_.depth; ++i) {
      const std::string block = block_name(i), scope = scope_of(block);
      const std::int64_t kept = i + 1 < config_.depth ? config_.tokens() : kept_tokens();
      const Product attended = attention(i, state.normed, kept);
      if (kept < config_.tokens()) state.x = graph_.slice_rows(scope, state.x, 0, kept);
      const auto [sum, normed] = layers_.add_norm(scope, state.x, attended, block + ".norm2");
      state = after(i, sum, mlp(block, normed));
    }
    return state;
  }

  // Nothing behind the last block looks at other tokens than these leading ones.
  std::int64_t kept_tokens() const {
    const bool all = config_.global_pool == PoolKind::avg || options_.output == Output::features;
    return all ? config_.tokens() : config_.dist_token ? 2 : 1;
  }

  // x + y behind block i, normalised for what comes next; with fc_norm nothing is normalised before pooling.
  State after(std::int64_t i, const Value& x, const Product& y) {
    const bool last = i + 1 == config_.depth;
    const std::string scope = scope_of(block_name(i));
    if (last && config_.fc_norm) {
      const Value sum = layers_.add(scope, x, y);
      return {sum, sum};
    }
    const auto [sum, normed] = layers_.add_norm(scope, x, y, last ? "norm" : block_name(i + 1) + ".norm1");
    return {sum, normed};
  }

  Product attention(std::int64_t i, const Value& normed, std::int64_t kept) {
    const std::string block = block_name(i), attn = block + ".attn";
    const Product qkv = layers_.product(attn + ".qkv", normed);
    if (!shows_attention(i)) {
      return layers_.product(attn + ".proj", layers_.attention(attn, qkv, kept), block + ".ls1.gamma");
    }
    const auto [y, probabilities] = layers_.open_attention(attn, qkv, kept);
    maps_.emplace_back("attention." + std::to_string(i), attention_map(scope_of(attn), probabilities));
    return layers_.product(attn + ".proj", y, block + ".ls1.gamma");
  }

  bool shows_attention(std::int64_t i) const {
    if (options_.output != Output::attention) return false;
    const std::vector<std::int64_t>& chosen = options_.attention;
    if (chosen.empty()) return i + 1 == config_.depth;
    return std::find(chosen.begin(), chosen.end(), i) != chosen.end();
  }

  // (batch, heads, rows, tokens) → (batch, heads, tokens): the class token's row, or without one the mean
  Value attention_map(const std::string& scope, const Value& probabilities) {
    if (!config_.class_token) return graph_.mean(scope + "/map", probabilities, 2);
    const Value row = probabilities.dims[2] == 1 ? probabilities
                                                 : graph_.slice_rows(scope + "/map", probabilities, 0, 1, 2);
    return graph_.reshape(scope + "/map", row, "map.shape",
                          {graph_.batch(), config_.num_heads, config_.tokens()});
  }

  Product mlp(const std::string& block, const Value& normed) {
    const Product hidden = layers_.product(block + ".mlp.fc1", normed);
    const Value act = layers_.gelu(scope_of(block) + "/mlp/act", hidden);
    return layers_.product(block + ".mlp.fc2", act, block + ".ls2.gamma");
  }

  // (batch, num_classes): of a distilled model the mean of both heads
  Value head(const State& last) {
    const Value logits = layers_.exact_linear("head", pooled(last));
    if (!config_.dist_token) return logits;
    const Value other = layers_.exact_linear("head_dist", token("dist_token", last.normed, 1));
    return half_sum("head", other, logits);
  }

  Value half_sum(const std::string& scope, const Value& a, const Value& b) {
    return graph_.map(scope, "Mul", graph_.map(scope, "Add", a, b), graph_.scalar("head.half", 0.5f));
  }

  // What the (first) head reads.
  Value pooled(const State& last) {
    const Value x = pool(last.normed);
    return config_.fc_norm ? layers_.norm("fc_norm", x) : x;
  }

  // (batch, dim): the class token or the mean of the patch tokens
  Value pool(const Value& x) {
    return config_.global_pool == PoolKind::token ? token("pool", x, 0)
                                                  : graph_.mean("pool", patch_tokens(x), 1);
  }

  Value patch_tokens(const Value& x) {
    const std::int64_t prefix = config_.prefix();
    return prefix > 0 ? graph_.slice_rows("pool", x, prefix, config_.patches()) : x;
  }

  // (batch, dim): one token, by Slice and Reshape, which more runtimes take than Gather
  Value token(const std::string& scope, const Value& x, std::int64_t row) {
    const Value one = x.dims[1] == 1 ? x : graph_.slice_rows(scope, x, row, 1);
    return graph_.reshape(scope, one, "token.shape", {graph_.batch(), config_.embed_dim});
  }

  // timm's forward_head(pre_logits=True) and the patch tokens of forward_features().
  void features(const State& last) {
    Value pre = pooled(last);
    if (config_.dist_token) pre = half_sum("features", token("dist_token", last.normed, 1), pre);
    graph_.output("features", pre);
    graph_.output("patch_tokens", named_patch_tokens(last.normed));
  }

  // A tensor of its own, which no node reads: average pooling may need the same rows under another name.
  Value named_patch_tokens(const Value& x) {
    return graph_.slice_rows("patch_tokens", x, config_.prefix(), config_.patches());
  }

  void with_maps(const Value& logits) {
    graph_.output("logits", logits);
    for (const auto& [name, map] : maps_)
      graph_.output(name, map);
  }

  void top(const Value& probabilities) {
    const std::int64_t count = std::min(options_.top, config_.num_classes);
    const Dims dims{graph_.batch(), count};
    const std::vector<Value> found =
        graph_.add_many("top", "TopK", {probabilities, graph_.integers("top.count", {count})},
                        {{dims, Type::f32}, {dims, Type::i64}}, {{"axis", std::int64_t{1}}});
    graph_.output("probabilities", found[0]);
    graph_.output("classes", found[1]);
  }

  Graph& graph_;
  const VitConfig& config_;
  const InputConfig& input_;
  const ExportOptions& options_;
  Weights weights_;
  Layers layers_;
  std::vector<std::pair<std::string, Value>> maps_;  // of attention, by the output's name
};

}  // namespace

Graph build_vit(const Subject& subject, const ExportOptions& options, const Ranges& ranges) {
  const std::int64_t opset = opset_of(options);
  Graph graph(subject.config.name,
              {.opset = opset, .ir_version = ir_version_of(opset), .batch = batch_of(options)});
  VitGraph(graph, subject, options, ranges).build();
  return graph;
}

Graph build_vit(const Model& model, const Backend& backend, const ExportOptions& options,
                const Ranges& ranges) {
  const Parameters parameters(model.params, backend);
  return build_vit(Subject{model.config, model.input, model.labels, parameters, model.params.views()},
                   options, ranges);
}

}  // namespace vitrail::onnx_export
