#include "engine/vit_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "engine/error.h"
#include "engine/keys.h"

namespace vitrail {
namespace {

struct Size {
  const char* name;
  std::int64_t embed_dim, depth, num_heads, mlp_dim;
};

constexpr Size kTiny{"tiny", 192, 12, 3, 768};
constexpr Size kSmall{"small", 384, 12, 6, 1536};
constexpr Size kMedium{"medium", 512, 12, 8, 2048};
constexpr Size kBase{"base", 768, 12, 12, 3072};
constexpr Size kLarge{"large", 1024, 24, 16, 4096};
constexpr Size kHuge{"huge", 1280, 32, 16, 5120};

using Switches = void (*)(VitConfig&);

void plain(VitConfig&) {}

void distilled(VitConfig& config) {
  config.dist_token = true;
}

void deit3(VitConfig& config) {
  config.no_embed_class = true;
  config.layer_scale = true;
  config.init_values = 1e-6;
}

void dinov2(VitConfig& config) {
  config.layer_scale = true;
  config.init_values = 1e-5;
}

void dinov2_registers(VitConfig& config) {
  dinov2(config);
  config.reg_tokens = 4;
  config.no_embed_class = true;
}

void clip(VitConfig& config) {
  config.pre_norm = true;
  config.patch_bias = false;
  config.norm_eps = 1e-5;
}

void clip_quickgelu(VitConfig& config) {
  clip(config);
  config.gelu = GeluKind::quick;
}

void gap(VitConfig& config) {
  config.class_token = false;
  config.global_pool = PoolKind::avg;
}

void gap_medium(VitConfig& config) {
  gap(config);
  config.qkv_bias = false;
  config.layer_scale = true;
  config.init_values = 1e-6;
}

void gap_base(VitConfig& config) {
  gap(config);
  config.num_heads = 16;
}

struct Named {
  const char* pattern;  // {} stands for the size's name
  std::vector<Size> sizes;
  std::int64_t patch_size, img_size;
  Switches switches;
};

// timm's registry: vision_transformer.py and deit.py.
const std::vector<Named>& named_models() {
  static const std::vector<Named> models = {
      {"vit_{}_patch16_224", {kTiny, kSmall, kBase, kLarge}, 16, 224, plain},
      {"vit_{}_patch16_384", {kTiny, kSmall, kBase, kLarge}, 16, 384, plain},
      {"vit_{}_patch32_224", {kSmall, kBase, kLarge}, 32, 224, plain},
      {"vit_{}_patch32_384", {kSmall, kBase, kLarge}, 32, 384, plain},
      {"vit_{}_patch8_224", {kSmall, kBase}, 8, 224, plain},
      {"vit_{}_patch14_224", {kLarge, kHuge}, 14, 224, plain},
      {"deit_{}_patch16_224", {kTiny, kSmall, kBase}, 16, 224, plain},
      {"deit_{}_patch16_384", {kBase}, 16, 384, plain},
      {"deit_{}_distilled_patch16_224", {kTiny, kSmall, kBase}, 16, 224, distilled},
      {"deit_{}_distilled_patch16_384", {kBase}, 16, 384, distilled},
      {"deit3_{}_patch16_224", {kSmall, kMedium, kBase, kLarge}, 16, 224, deit3},
      {"deit3_{}_patch16_384", {kSmall, kBase, kLarge}, 16, 384, deit3},
      {"deit3_{}_patch14_224", {kHuge}, 14, 224, deit3},
      {"vit_{}_patch14_dinov2", {kSmall, kBase, kLarge}, 14, 518, dinov2},
      {"vit_{}_patch14_reg4_dinov2", {kSmall, kBase, kLarge}, 14, 518, dinov2_registers},
      {"vit_{}_patch32_clip_224", {kBase}, 32, 224, clip},
      {"vit_{}_patch16_clip_224", {kBase}, 16, 224, clip},
      {"vit_{}_patch14_clip_224", {kLarge, kHuge}, 14, 224, clip},
      {"vit_{}_patch32_clip_quickgelu_224", {kBase}, 32, 224, clip_quickgelu},
      {"vit_{}_patch16_clip_quickgelu_224", {kBase}, 16, 224, clip_quickgelu},
      {"vit_{}_patch14_clip_quickgelu_224", {kLarge, kHuge}, 14, 224, clip_quickgelu},
      {"vit_{}_patch16_gap_224", {kBase}, 16, 224, gap_base},
      {"vit_{}_patch16_gap_240", {kMedium}, 16, 240, gap_medium},
      {"vit_{}_patch16_gap_256", {kMedium}, 16, 256, gap_medium},
      {"vit_{}_patch14_gap_224", {kHuge}, 14, 224, gap},
  };
  return models;
}

void require(bool holds, const std::string& key, const std::string& expected, std::int64_t found) {
  if (!holds) throw ConfigError(fmt::format("{}: expected {}, found {}", key, expected, found));
}

void require_rate(const std::string& key, double rate) {
  if (!(rate >= 0 && rate < 1)) {
    throw ConfigError(fmt::format("{}: expected a rate of at least 0 and below 1, found {}", key, rate));
  }
}

void check_sizes(const VitConfig& config) {
  require(config.patch_size >= 1 && config.patch_size <= 1024, "model.patch_size", "1 to 1024",
          config.patch_size);
  require(config.img_size >= config.patch_size && config.img_size <= 16384 &&
              config.img_size % config.patch_size == 0,
          "model.img_size", fmt::format("a multiple of the patch size {}", config.patch_size),
          config.img_size);
  require(config.in_chans >= 1 && config.in_chans <= 4, "model.in_chans", "1 to 4", config.in_chans);
  require(config.num_classes >= 1 && config.num_classes <= 1 << 20, "model.num_classes", "at least 1",
          config.num_classes);
  require(config.embed_dim >= 1 && config.embed_dim <= 1 << 16, "model.dim", "1 to 65536", config.embed_dim);
  require(config.depth >= 1 && config.depth <= 1024, "model.depth", "1 to 1024", config.depth);
  require(config.num_heads >= 1 && config.embed_dim % config.num_heads == 0, "model.heads",
          fmt::format("a divisor of model.dim = {}", config.embed_dim), config.num_heads);
  require(config.mlp_dim >= 1 && config.mlp_dim <= 1 << 18, "model.mlp_dim", "1 to 262144", config.mlp_dim);
  require(config.reg_tokens >= 0 && config.reg_tokens <= 1024, "model.reg_tokens", "0 to 1024",
          config.reg_tokens);
}

}  // namespace

void VitConfig::check() const {
  check_sizes(*this);
  if (global_pool == PoolKind::token && !class_token) {
    throw ConfigError("model.global_pool: 'token' needs model.class_token=true; expected 'avg' without one");
  }
  if (dist_token && (!class_token || global_pool != PoolKind::token || fc_norm)) {
    throw ConfigError(
        "model.dist_token: expected model.class_token=true, model.global_pool=token and "
        "model.fc_norm=false beside it");
  }
  if (!(norm_eps > 0)) throw ConfigError(fmt::format("model.norm_eps: expected above 0, found {}", norm_eps));
  require_rate("model.drop_rate", drop_rate);
  require_rate("model.pos_drop_rate", pos_drop_rate);
  require_rate("model.proj_drop_rate", proj_drop_rate);
  require_rate("model.attn_drop_rate", attn_drop_rate);
  require_rate("model.drop_path_rate", drop_path_rate);
}

std::int64_t forward_flops(const VitConfig& config) {
  const std::int64_t dim = config.embed_dim, tokens = config.tokens();
  const std::int64_t embed = config.patches() * config.patch_elements() * dim;
  const std::int64_t linear = tokens * (4 * dim * dim + 2 * dim * config.mlp_dim);
  const std::int64_t attention = 2 * tokens * tokens * dim;
  const std::int64_t head = dim * config.num_classes * (config.dist_token ? 2 : 1);
  return 2 * (embed + config.depth * (linear + attention) + head);
}

VitConfig vit_config(const std::string& name) {
  for (const Named& model : named_models()) {
    for (const Size& size : model.sizes) {
      if (fmt::format(fmt::runtime(model.pattern), size.name) != name) continue;
      VitConfig config;
      config.name = name;
      config.img_size = model.img_size;
      config.patch_size = model.patch_size;
      config.embed_dim = size.embed_dim;
      config.depth = size.depth;
      config.num_heads = size.num_heads;
      config.mlp_dim = size.mlp_dim;
      model.switches(config);
      return config;
    }
  }
  const std::vector<std::string> known = vit_config_names();
  const std::string near = nearest(name, known);
  throw ConfigError(fmt::format("model: no model is called '{}'{}", name,
                                near.empty() ? std::string("; 'vitrail train --help' lists them")
                                             : fmt::format("; did you mean '{}'?", near)));
}

std::vector<std::string> vit_config_names() {
  std::vector<std::string> names;
  for (const Named& model : named_models()) {
    for (const Size& size : model.sizes)
      names.push_back(fmt::format(fmt::runtime(model.pattern), size.name));
  }
  return names;
}

const char* name_of(PoolKind pool) {
  return pool == PoolKind::token ? "token" : "avg";
}

const char* name_of(WeightInit init) {
  return init == WeightInit::jax ? "jax" : "timm";
}

const char* name_of(GeluKind gelu) {
  switch (gelu) {
    case GeluKind::erf:
      return "erf";
    case GeluKind::tanh:
      return "tanh";
    case GeluKind::quick:
      return "quick";
  }
  return "";
}

}  // namespace vitrail
