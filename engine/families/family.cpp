#include "engine/families/family.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "engine/error.h"
#include "engine/families/fixed.h"
#include "engine/families/network.h"

namespace vitrail::families {
namespace {

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
    const auto heads =
        std::erase_if(renamed.pieces, [](const auto& piece) { return piece.first.starts_with("head."); });
    if (heads > 0) renamed.left_out["the head behind pre_logits"] = static_cast<int>(heads);
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
    family.fold_class_position = family.wide_head = false;
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
