// The rows of the settings table that describe the network.
#include <algorithm>
#include <cmath>

#include "engine/key_table.h"

// A function object that gives a member of a TrainConfig's network, const or not.
#define VITRAIL_MODEL_FIELD(member) \
  [](auto& config) -> auto& {       \
    return config.model.member;     \
  }

namespace vitrail::key_table {
namespace {

constexpr const char* kCustom = "custom";

// Takes the sizes and switches of a timm name; what data and training decide (classes, channels, drop rates)
// stays.
void set_model_name(TrainConfig& config, std::string_view name) {
  if (name == kCustom) {
    config.model.name = kCustom;
    return;
  }
  VitConfig model = vit_config(std::string(name));
  const VitConfig& old = config.model;
  model.in_chans = old.in_chans;
  model.num_classes = old.num_classes;
  model.drop_rate = old.drop_rate;
  model.pos_drop_rate = old.pos_drop_rate;
  model.proj_drop_rate = old.proj_drop_rate;
  model.attn_drop_rate = old.attn_drop_rate;
  model.drop_path_rate = old.drop_path_rate;
  model.weight_init = old.weight_init;
  config.model = model;
  config.input.size = model.img_size;
}

Key name_key() {
  return {"model", "a timm name, such as vit_tiny_patch16_224 | custom",
          "sets every size and switch below, and acts before them wherever it stands; custom: they are given "
          "singly",
          [](const TrainConfig& config) { return config.model.name; }, set_model_name};
}

// A size that the images are prepared for too.
template <class Field, class InputField>
Key shared_size(std::string name, Field field, InputField input_field, WholeRange range, std::string help) {
  Key key = whole(std::move(name), field, range, std::move(help));
  key.set = [set = key.set, field, input_field](TrainConfig& config, std::string_view text) {
    set(config, text);
    input_field(config) = field(config);
  };
  return key;
}

// Another way to say model.mlp_dim; never written back.
Key mlp_ratio_key() {
  static constexpr NumberRange kRange{.low = 0, .high = 64, .low_open = true};
  return {"model.mlp_ratio", kRange.text(), "sets model.mlp_dim to this times model.dim, after both",
          [](const TrainConfig&) { return std::string(); },
          [](TrainConfig& config, std::string_view text) {
            const double ratio = parse_number("model.mlp_ratio", text, kRange);
            config.model.mlp_dim =
                std::max<std::int64_t>(1, std::llround(ratio * double(config.model.embed_dim)));
          }};
}

void add_sizes(std::vector<Key>& rows) {
  rows.push_back(shared_size(
      "model.img_size", VITRAIL_MODEL_FIELD(img_size),
      [](auto& config) -> auto& { return config.input.size; }, {1, 16384}, "pixels of the square images"));
  rows.push_back(
      whole("model.patch_size", VITRAIL_MODEL_FIELD(patch_size), {1, 1024}, "pixels of a square patch"));
  rows.push_back(shared_size(
      "model.in_chans", VITRAIL_MODEL_FIELD(in_chans),
      [](auto& config) -> auto& { return config.input.channels; }, {1, 4},
      "channels of the images: 1 grey, 3 RGB"));
  rows.push_back(whole("model.num_classes", VITRAIL_MODEL_FIELD(num_classes), {1, 1 << 20}, "classes"));
  rows.push_back(whole("model.dim", VITRAIL_MODEL_FIELD(embed_dim), {1, 1 << 16}, "width of a token"));
  rows.push_back(whole("model.depth", VITRAIL_MODEL_FIELD(depth), {1, 1024}, "blocks"));
  rows.push_back(whole("model.heads", VITRAIL_MODEL_FIELD(num_heads), {1, 1 << 16},
                       "attention heads; divides model.dim"));
  rows.push_back(
      whole("model.mlp_dim", VITRAIL_MODEL_FIELD(mlp_dim), {1, 1 << 18}, "width of the MLP's hidden layer"));
  rows.push_back(mlp_ratio_key());
}

void add_switches(std::vector<Key>& rows) {
  rows.push_back(
      switched("model.class_token", VITRAIL_MODEL_FIELD(class_token), "a token that gathers the answer"));
  rows.push_back(
      switched("model.dist_token", VITRAIL_MODEL_FIELD(dist_token), "DeiT's second token and head"));
  rows.push_back(whole("model.reg_tokens", VITRAIL_MODEL_FIELD(reg_tokens), {0, 1024}, "DINOv2's registers"));
  rows.push_back(switched("model.no_embed_class", VITRAIL_MODEL_FIELD(no_embed_class),
                          "position embedding for the patches only"));
  rows.push_back(
      switched("model.pre_norm", VITRAIL_MODEL_FIELD(pre_norm), "a LayerNorm before the first block (CLIP)"));
  rows.push_back(switched("model.layer_scale", VITRAIL_MODEL_FIELD(layer_scale),
                          "scale each branch by a learnt vector"));
  rows.push_back(number("model.init_values", VITRAIL_MODEL_FIELD(init_values), kNotNegative,
                        "where that vector starts"));
  rows.push_back(choice("model.global_pool", VITRAIL_MODEL_FIELD(global_pool),
                        {PoolKind::token, PoolKind::avg},
                        "what the head sees: the class token, or the mean of the patches"));
  rows.push_back(
      switched("model.fc_norm", VITRAIL_MODEL_FIELD(fc_norm), "LayerNorm after pooling, not before"));
  rows.push_back(choice("model.gelu", VITRAIL_MODEL_FIELD(gelu),
                        {GeluKind::erf, GeluKind::tanh, GeluKind::quick},
                        "the MLP's activation, exact or approximated"));
  rows.push_back(number("model.norm_eps", VITRAIL_MODEL_FIELD(norm_eps), kPositive, "LayerNorm's epsilon"));
  rows.push_back(
      switched("model.patch_bias", VITRAIL_MODEL_FIELD(patch_bias), "bias of the patch embedding"));
  rows.push_back(
      switched("model.qkv_bias", VITRAIL_MODEL_FIELD(qkv_bias), "bias of queries, keys and values"));
  rows.push_back(switched("model.proj_bias", VITRAIL_MODEL_FIELD(proj_bias),
                          "biases of attn.proj, mlp.fc1 and mlp.fc2"));
  rows.push_back(switched("model.head_bias", VITRAIL_MODEL_FIELD(head_bias), "bias of the head"));
  rows.push_back(
      choice("model.weight_init", VITRAIL_MODEL_FIELD(weight_init), {WeightInit::timm, WeightInit::jax},
             "how weights begin: all matrices alike, or scaled by their size (small models learn sooner)"));
}

void add_rates(std::vector<Key>& rows) {
  rows.push_back(number("model.drop_rate", VITRAIL_MODEL_FIELD(drop_rate), kRate, "dropout before the head"));
  rows.push_back(number("model.pos_drop_rate", VITRAIL_MODEL_FIELD(pos_drop_rate), kRate,
                        "dropout after the position embedding"));
  rows.push_back(number("model.proj_drop_rate", VITRAIL_MODEL_FIELD(proj_drop_rate), kRate,
                        "dropout after attn.proj, the MLP's GELU and mlp.fc2"));
  rows.push_back(number("model.attn_drop_rate", VITRAIL_MODEL_FIELD(attn_drop_rate), kRate,
                        "dropout of attention probabilities"));
  rows.push_back(number("model.drop_path_rate", VITRAIL_MODEL_FIELD(drop_path_rate), kRate,
                        "stochastic depth of the last block, from 0 at the first"));
}

}  // namespace

void add_model_keys(std::vector<Key>& rows) {
  rows.push_back(name_key());
  add_sizes(rows);
  add_switches(rows);
  add_rates(rows);
}

}  // namespace vitrail::key_table
