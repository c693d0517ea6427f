#include "engine/families/family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/error.h"
#include "engine/families/network.h"

namespace vitrail::families {
namespace {

// What a family fixes beyond doubt. An empty or missing entry must be found elsewhere or asked for.
struct Fixed {
  const char* name;
  std::optional<double> norm_eps;
  std::optional<GeluKind> gelu;
  const char* normalization;
  std::optional<double> crop_pct;
};

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
  return {"timm ViT", 1e-6, kErf, "", config.img_size >= 384 ? 1.0 : kCrop};
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

template <class T>
void learn(Known<T>& known, const std::optional<T>& value, const std::string& from) {
  if (value) known.learn(*value, from);
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

// What is still not known.
std::vector<std::string> questions(const Facts& facts, const VitConfig& config) {
  std::vector<std::string> asked;
  if (!facts.norm_eps) {
    asked.push_back(
        "the epsilon of its LayerNorms; tell it with init.norm_eps=1e-12, 1e-6 or 1e-5 "
        "(config.json has it as layer_norm_eps)");
  }
  if (!facts.gelu) {
    asked.push_back(
        "its GELU; tell it with init.gelu=quick (OpenAI, LAION-400M, DFN and MetaCLIP) or init.gelu=erf "
        "(other "
        "CLIPs), or name the model with model=");
  }
  if (!facts.num_heads) {
    asked.push_back(
        fmt::format("its number of attention heads; tell it with init.num_heads=, a divisor of {}, or name "
                    "the model with "
                    "model=",
                    config.embed_dim));
  }
  if (!facts.mean || !facts.std) {
    asked.push_back(
        "how its images were normalised; tell it with init.normalization=half (mean and deviation 0.5: "
        "Google's "
        "ViT, AugReg), imagenet (DeiT, DINO, MAE) or clip");
  }
  return asked;
}

void settle(const Facts& facts, Family& family) {
  VitConfig& config = family.config;
  config.norm_eps = facts.norm_eps.value;
  config.gelu = facts.gelu.value;
  config.num_heads = facts.num_heads.value;
  if (facts.global_pool && config.class_token && !config.dist_token)
    config.global_pool = facts.global_pool.value;
  InputConfig& input = family.input;
  input.size = config.img_size;
  input.channels = config.in_chans;
  input.mean = facts.mean.value;
  input.std = facts.std.value;
  input.crop_pct = std::clamp(facts.crop_pct.value, 0.01, 1.0);
  input.interpolation = facts.interpolation.value;

  std::vector<std::string> lines = {
      fmt::format("LayerNorm epsilon {:g} ({}), GELU {} ({}), {} heads ({})", config.norm_eps,
                  facts.norm_eps.from, name_of(config.gelu), facts.gelu.from, config.num_heads,
                  facts.num_heads.from),
      fmt::format("images: mean {:g} {:g} {:g}, deviation {:g} {:g} {:g} ({}), crop_pct {:g} ({}), {} ({})",
                  input.mean[0], input.mean[1], input.mean[2], input.std[0], input.std[1], input.std[2],
                  facts.mean.from, input.crop_pct, facts.crop_pct.from, name_of(input.interpolation),
                  facts.interpolation.from)};
  lines.insert(lines.end(), facts.remarks.begin(), facts.remarks.end());
  family.lines.insert(family.lines.begin(), lines.begin(), lines.end());
}

// The name that timm gives these sizes and switches, whatever the image and the classes.
std::string timm_name(const VitConfig& config) {
  std::string near = "custom";
  for (const std::string& name : vit_config_names()) {
    VitConfig named = vit_config(name);
    const bool same_image = named.img_size == config.img_size;
    named.name = config.name;
    named.img_size = config.img_size;
    named.in_chans = config.in_chans;
    named.num_classes = config.num_classes;
    named.init_values = config.init_values;
    named.head_bias = config.head_bias;
    if (!(named == config)) continue;
    if (same_image) return name;
    if (near == "custom") near = name;
  }
  return near;
}

Extents extents(const Shape& shape) {
  return {shape.dims.begin(), shape.dims.begin() + shape.rank};
}

// The shape that the file's tensor for a parameter must have; empty where it may be absent.
Extents expected_shape(const Family& family, const ParamSpec& spec) {
  if (family.headless && spec.name.starts_with("head.")) return {};
  if (family.fold_class_position && spec.name == "pos_embed") return {1, spec.shape[1] + 1, spec.shape[2]};
  if (family.wide_head && spec.name == "head.weight") return {spec.shape[0], 2 * spec.shape[1]};
  return extents(spec.shape);
}

void check_tensors(const WeightFile& file, const Renamed& renamed, const Family& family) {
  const std::vector<std::string> lines =
      misfits(renamed, family.config, [&](const ParamSpec& spec) { return expected_shape(family, spec); });
  if (lines.empty()) return;
  throw ConfigError(fmt::format("{}: its tensors are not those of a {} that can be imported:\n  {}",
                                file.path.string(), family.name, fmt::join(lines, "\n  ")));
}

// A head that is to be replaced need not fit.
void forget_head(Renamed& renamed, Family& family) {
  std::erase_if(renamed.pieces, [](const auto& piece) { return piece.first.starts_with("head."); });
  family.headless = true;
  family.wide_head = false;
}

// head reads pre_logits, which we have no place for: alone it is of no use.
void drop_head_behind_pre_logits(Renamed& renamed) {
  for (const auto& [what, count] : renamed.left_out) {
    if (!what.starts_with("pre_logits")) continue;
    std::erase_if(renamed.pieces, [](const auto& piece) { return piece.first.starts_with("head."); });
    renamed.left_out["the head behind pre_logits"] += 1;
    return;
  }
}

// The model that the user named must be the one in the file.
void check_architecture(const Facts& facts, const VitConfig& config) {
  const std::vector<std::string> known = vit_config_names();
  const std::string& name = facts.architecture.value;
  const bool told = facts.architecture.from == "model";
  if (!told || std::find(known.begin(), known.end(), name) == known.end()) return;
  const VitConfig named = vit_config(name);
  const auto require = [&](const char* what, std::int64_t expected, std::int64_t found) {
    if (expected == found) return;
    throw ConfigError(fmt::format("model: {} has {} {}, the file {}", name, what, expected, found));
  };
  require("width", named.embed_dim, config.embed_dim);
  require("blocks", named.depth, config.depth);
  require("MLP width", named.mlp_dim, config.mlp_dim);
  require("patch size", named.patch_size, config.patch_size);
  require("class tokens", named.class_token ? 1 : 0, config.class_token ? 1 : 0);
  require("norms before its first block", named.pre_norm ? 1 : 0, config.pre_norm ? 1 : 0);
  require("LayerScales a block", named.layer_scale ? 2 : 0, config.layer_scale ? 2 : 0);
}

// What timm has a bias for and we have none: zeros that our export wrote (or that training has changed).
void reconcile_head_bias(Renamed& renamed, VitConfig& config) {
  const auto bias = renamed.pieces.find("head.bias");
  if (config.head_bias || bias == renamed.pieces.end()) return;
  const std::span<const std::byte> bytes = bias->second.front().bytes;
  config.head_bias = std::any_of(bytes.begin(), bytes.end(), [](std::byte b) { return b != std::byte{}; });
  if (!config.head_bias) renamed.pieces.erase(bias);
}

}  // namespace

Family find_family(const WeightFile& file, Renamed& renamed, Facts& facts, bool new_head) {
  Family family;
  drop_head_behind_pre_logits(renamed);
  infer_network(renamed, facts.img_size, family);
  if (new_head && family.wide_head) forget_head(renamed, family);
  if (facts.config) {  // our own file: nothing to find out
    family.headless = family.headless && !facts.config->dist_token;
    family.name = "Vitrail " + facts.config->name;
    family.config = *facts.config;
    reconcile_head_bias(renamed, family.config);
    family.input = facts.input;
    check_tensors(file, renamed, family);
    return family;
  }
  learn_architecture(family.config, facts);
  const Fixed fixed = fixed_by_naming(renamed, family.config);
  family.name = fixed.name;
  check_architecture(facts, family.config);
  check_tensors(file, renamed, family);
  learn_fixed(renamed, fixed, family.config, facts);
  const std::vector<std::string> asked = questions(facts, family.config);
  if (!asked.empty()) {
    throw ConfigError(fmt::format("{}: {}. Neither its tensors nor a document beside it tell\n  {}",
                                  file.path.string(), family.name, fmt::join(asked, "\n  ")));
  }
  settle(facts, family);
  family.config.check();
  family.config.name = timm_name(family.config);
  return family;
}

}  // namespace vitrail::families
