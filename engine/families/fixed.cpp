#include "engine/families/fixed.h"

#include <fmt/format.h>

#include <algorithm>

namespace vitrail::families {
namespace {

bool is_mae(const Renamed& renamed) {
  return renamed.left_out.contains("the decoder of pre-training");
}

// timm's default preprocessing: vision_transformer.py and deit.py, _cfg.
constexpr double kCrop = 0.9;
constexpr GeluKind kErf = GeluKind::erf;

Fixed fixed_by_timm(const Renamed& renamed, const VitConfig& config) {
  const bool inside_clip = !renamed.prefix.empty() && config.pre_norm;
  if (inside_clip) return {"OpenCLIP with a timm tower", 1e-5, std::nullopt, "", 1.0};
  if (config.pre_norm) return {"timm CLIP vision tower", 1e-5, std::nullopt, "", kCrop};
  if (config.dist_token) return {"timm DeiT, distilled", 1e-6, kErf, "imagenet", kCrop};
  if (is_mae(renamed)) return {"MAE", 1e-6, kErf, "imagenet", kCrop};
  if (config.layer_scale && config.class_token) {
    if (config.reg_tokens > 0) return {"DINOv2 with registers", 1e-6, kErf, "imagenet", 1.0};
    if (config.no_embed_class) return {"DeiT III", 1e-6, kErf, "imagenet", 1.0};
    return {"DINOv2", 1e-6, kErf, "imagenet", 1.0};
  }
  const double crop = config.img_size >= 384 ? 1.0 : kCrop;
  // Some SigLIP towers without their attention pooling have the tanh form.
  if (!config.class_token) return {"timm ViT without class token", 1e-6, std::nullopt, "", crop};
  return {"timm ViT", 1e-6, kErf, "", crop};
}

// Their epsilon stands in config.json: classes and released files differ.
Fixed fixed_by_hf(const Renamed& renamed, const VitConfig& config) {
  if (config.layer_scale && config.reg_tokens > 0) {
    return {"Hugging Face DINOv2 with registers", std::nullopt, kErf, "imagenet", 1.0};
  }
  if (config.layer_scale) return {"Hugging Face DINOv2", std::nullopt, kErf, "imagenet", 1.0};
  if (config.dist_token) return {"Hugging Face DeiT, distilled", std::nullopt, kErf, "imagenet", kCrop};
  if (config.reg_tokens > 0) return {"Hugging Face DeiT", std::nullopt, kErf, "imagenet", kCrop};
  if (is_mae(renamed)) return {"Hugging Face MAE", std::nullopt, kErf, "imagenet", kCrop};
  return {"Hugging Face ViT", std::nullopt, kErf, "", kCrop};
}

// Of a CLIP tower whose values are not told. LAION's L/14 alone was trained with another mean, and with erf.
const char* clip_normalization(const VitConfig& config, const Known<GeluKind>& gelu) {
  const bool l14 = config.embed_dim == 1024 && config.patch_size == 14;
  return l14 && gelu && gelu.value != GeluKind::quick ? "" : "clip";
}

// The heads of the widths that everybody gave the same number: 64 wide, of 1280 features 80.
std::optional<std::int64_t> usual_heads(const VitConfig& config) {
  switch (config.embed_dim) {
    case 192:
    case 384:
    case 512:
    case 1024:
      return config.embed_dim / 64;
    case 768:  // vit_base_patch16_gap_224, without a class token, has 16
      return config.class_token ? std::optional<std::int64_t>(12) : std::nullopt;
    case 1280:
      return 16;
    default:
      return std::nullopt;
  }
}

template <class T>
void learn(Known<T>& known, const std::optional<T>& value, const std::string& from) {
  if (value) known.learn(*value, from);
}

}  // namespace

Fixed fixed_by_naming(const Renamed& renamed, const VitConfig& config) {
  switch (renamed.naming->library) {
    case Library::timm:
      return fixed_by_timm(renamed, config);
    case Library::hf:
      return fixed_by_hf(renamed, config);
    case Library::hf_clip:
      return {"Hugging Face CLIP vision tower", std::nullopt, std::nullopt, "clip", 1.0};
    case Library::openai:
      return {"OpenAI's CLIP or OpenCLIP, vision tower", 1e-5, std::nullopt, "", 1.0};
    case Library::jax:
      // flax: nn.gelu is the tanh form, nn.LayerNorm has 1e-6; vit_jax/input_pipeline.py scales to ±1.
      return {"JAX ViT", 1e-6, GeluKind::tanh, "half", kCrop};
  }
  return {};
}

// What timm's name tells, also of a model that we cannot make by name. Arguments in config.json can have
// given the architecture another width, and then another number of heads too.
void learn_architecture(const VitConfig& found, Facts& facts) {
  if (!facts.architecture) return;
  const std::string& name = facts.architecture.value;
  const std::string from = facts.architecture.from + ", " + name;
  const std::vector<std::string> known = vit_config_names();
  const auto has = [&](const char* word) { return name.find(word) != std::string::npos; };
  if (std::find(known.begin(), known.end(), name) != known.end()) {
    const VitConfig config = vit_config(name);
    facts.norm_eps.learn(config.norm_eps, from);
    facts.gelu.learn(config.gelu, from);
    if (config.embed_dim == found.embed_dim) facts.num_heads.learn(config.num_heads, from);
    facts.global_pool.learn(config.global_pool, from);
  } else if (has("clip")) {
    facts.gelu.learn(has("quickgelu") ? GeluKind::quick : GeluKind::erf, from);
  }
  if (facts.architecture.from == "config.json" || !name.starts_with("vit_") || has("clip")) {
    if (name.starts_with("deit")) learn_normalization(facts, "imagenet", from);
    return;
  }
  learn_normalization(facts, has("dinov2") ? "imagenet" : "half", "timm's default for " + name);
}

void learn_fixed(const Renamed& renamed, const Fixed& fixed, const VitConfig& config, Facts& facts) {
  learn(facts.norm_eps, fixed.norm_eps, "the family");
  learn(facts.gelu, fixed.gelu, "the family");
  if (renamed.naming->library == Library::jax) {
    const auto query = renamed.pieces.find("blocks.0.attn.qkv.weight");
    if (query != renamed.pieces.end() && query->second.front().record->shape.size() == 3)
      facts.num_heads.learn(query->second.front().record->shape[1], "the queries' shape");
  }
  learn(facts.num_heads, usual_heads(config), "the width");
  const bool clip = config.pre_norm && *fixed.normalization == '\0';
  const char* normalization = clip ? clip_normalization(config, facts.gelu) : fixed.normalization;
  if (*normalization != '\0' && !(facts.mean && facts.std))
    learn_normalization(facts, normalization, "the family");
  learn(facts.crop_pct, fixed.crop_pct, "the family");
  facts.interpolation.learn(Interpolation::bicubic, "the family");
}

std::vector<std::string> questions(const Facts& facts, const VitConfig& config) {
  std::vector<std::string> asked;
  if (!facts.norm_eps) {
    asked.push_back(
        "the epsilon of its LayerNorms; tell it with init.norm_eps=1e-12, 1e-6 or 1e-5 "
        "(config.json has it as layer_norm_eps)");
  }
  if (!facts.gelu) {
    asked.push_back(
        "its GELU; tell it with init.gelu=quick (CLIPs of OpenAI, LAION-400M, DFN, MetaCLIP), "
        "erf (other CLIPs, most else) or tanh (some SigLIPs), or name the model with model=");
  }
  if (!facts.num_heads) {
    asked.push_back(
        fmt::format("its number of attention heads; tell it with init.num_heads=, a divisor of {}, "
                    "or name the model with model=",
                    config.embed_dim));
  }
  if (!facts.mean || !facts.std) {
    asked.push_back(
        "how its images were normalised; tell it with init.normalization=half (mean and deviation 0.5: "
        "Google's ViT, AugReg), imagenet (DeiT, DINO, MAE) or clip");
  }
  return asked;
}

}  // namespace vitrail::families
