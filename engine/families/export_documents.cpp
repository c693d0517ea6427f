#include "engine/families/export_documents.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/families/own_settings.h"

namespace vitrail::families {
namespace {

using json = nlohmann::ordered_json;

std::vector<double> leading(const Channels& values, std::int64_t count) {
  return {values.begin(), values.begin() + count};
}

// timm/layers/create_act.py and transformers/activations.py.
const char* timm_act(GeluKind gelu) {
  return gelu == GeluKind::erf ? "gelu" : gelu == GeluKind::tanh ? "gelu_tanh" : "quick_gelu";
}
const char* hf_act(GeluKind gelu) {
  return gelu == GeluKind::erf ? "gelu" : gelu == GeluKind::tanh ? "gelu_pytorch_tanh" : "quick_gelu";
}

// Arguments of timm's VisionTransformer, whatever the architecture's own are. The norms' epsilon is not among
// them: JSON can name a norm, and the architecture alone gives it another epsilon.
json timm_arguments(const VitConfig& c) {
  json arguments = {{"img_size", c.img_size},
                    {"patch_size", c.patch_size},
                    {"in_chans", c.in_chans},
                    {"embed_dim", c.embed_dim},
                    {"depth", c.depth},
                    {"num_heads", c.num_heads},
                    {"mlp_ratio", static_cast<double>(c.mlp_dim) / static_cast<double>(c.embed_dim)},
                    {"qkv_bias", c.qkv_bias},
                    {"proj_bias", c.proj_bias},
                    {"init_values", nullptr},
                    {"class_token", c.class_token},
                    {"global_pool", name_of(c.global_pool)},
                    {"pre_norm", c.pre_norm},
                    {"fc_norm", c.fc_norm},
                    {"act_layer", timm_act(c.gelu)}};
  if (c.layer_scale) arguments["init_values"] = c.init_values;
  if (!c.dist_token) {  // VisionTransformerDistilled has neither
    arguments["no_embed_class"] = c.no_embed_class;
    arguments["reg_tokens"] = c.reg_tokens;
  }
  return arguments;
}

json labels_by_id(const std::vector<std::string>& labels) {
  json by_id = json::object();
  for (std::size_t id = 0; id < labels.size(); ++id)
    by_id[std::to_string(id)] = labels[id];
  return by_id;
}

}  // namespace

std::string timm_architecture(const VitConfig& config) {
  if (config.name != "custom") return config.name;
  if (config.dist_token) return "deit_tiny_distilled_patch16_224";
  return config.norm_eps == 1e-5 ? "vit_base_patch32_clip_224" : "vit_tiny_patch16_224";
}

std::string timm_config(const Model& model, std::int64_t classes) {
  const VitConfig& c = model.config;
  const InputConfig& input = model.input;
  const json size = {c.in_chans, c.img_size, c.img_size};
  json config = {{"architecture", timm_architecture(c)},
                 {"num_classes", classes},
                 {"num_features", c.embed_dim},
                 {"global_pool", name_of(c.global_pool)},
                 {"model_args", timm_arguments(c)},
                 {"pretrained_cfg",
                  {{"input_size", size},
                   {"fixed_input_size", true},
                   {"interpolation", name_of(input.interpolation)},
                   {"crop_pct", input.crop_pct},
                   {"crop_mode", "center"},
                   {"mean", leading(input.mean, input.channels)},
                   {"std", leading(input.std, input.channels)},
                   {"num_classes", classes},
                   {"pool_size", nullptr},
                   {"first_conv", "patch_embed.proj"},
                   {"classifier", c.dist_token ? json{"head", "head_dist"} : json("head")}}}};
  if (!model.labels.empty()) config["label_names"] = model.labels;
  config["vitrail"] = own_settings(model);
  return config.dump(2) + "\n";
}

std::string hf_config(const Model& model, HfClass hf_class, const std::string& class_name) {
  const VitConfig& c = model.config;
  const char* types[] = {"vit", "deit", c.reg_tokens > 0 ? "dinov2_with_registers" : "dinov2",
                         "clip_vision_model"};
  json config = {{"architectures", {class_name}},
                 {"model_type", types[static_cast<int>(hf_class)]},
                 {"hidden_size", c.embed_dim},
                 {"num_hidden_layers", c.depth},
                 {"num_attention_heads", c.num_heads},
                 {"image_size", c.img_size},
                 {"patch_size", c.patch_size},
                 {"num_channels", c.in_chans},
                 {"hidden_act", hf_act(c.gelu)},
                 {"layer_norm_eps", c.norm_eps},
                 {"torch_dtype", "float32"}};
  if (hf_class == HfClass::dinov2) {
    config["mlp_ratio"] = c.mlp_dim / c.embed_dim;
    config["use_swiglu_ffn"] = false;
    if (c.reg_tokens > 0) config["num_register_tokens"] = c.reg_tokens;
  } else {
    config["intermediate_size"] = c.mlp_dim;
  }
  if (hf_class == HfClass::clip) {
    config["projection_dim"] = c.num_classes;
    return config.dump(2) + "\n";
  }
  config["qkv_bias"] = c.qkv_bias;
  std::vector<std::string> labels = model.labels;
  for (std::int64_t id = static_cast<std::int64_t>(labels.size()); id < c.num_classes; ++id)
    labels.push_back("LABEL_" + std::to_string(id));
  config["id2label"] = labels_by_id(labels);
  json by_label = json::object();
  for (std::size_t id = 0; id < labels.size(); ++id)
    by_label[labels[id]] = id;
  config["label2id"] = by_label;
  return config.dump(2) + "\n";
}

std::string hf_preprocessor(const InputConfig& input) {
  const auto shortest =
      static_cast<std::int64_t>(std::floor(static_cast<double>(input.size) / input.crop_pct));
  const json config = {{"image_processor_type", "BitImageProcessor"},
                       {"do_convert_rgb", input.channels == 3},
                       {"do_resize", true},
                       {"size", {{"shortest_edge", shortest}}},
                       {"resample", input.interpolation == Interpolation::bilinear ? 2 : 3},
                       {"do_center_crop", true},
                       {"crop_size", {{"height", input.size}, {"width", input.size}}},
                       {"do_rescale", true},
                       {"rescale_factor", 1.0 / 255},
                       {"do_normalize", true},
                       {"image_mean", leading(input.mean, input.channels)},
                       {"image_std", leading(input.std, input.channels)}};
  return config.dump(2) + "\n";
}

}  // namespace vitrail::families
