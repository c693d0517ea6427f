#include "engine/families/network.h"

#include <fmt/format.h>

#include <cmath>

#include "engine/error.h"

namespace vitrail::families {
namespace {

// Of a square number, its root; else 0.
std::int64_t root_of(std::int64_t square) {
  if (square < 1) return 0;
  const auto root = static_cast<std::int64_t>(std::llround(std::sqrt(static_cast<double>(square))));
  return root * root == square ? root : 0;
}

// What the rows of pos_embed stand for.
struct Rows {
  std::int64_t extra = 0;  // rows that are no patch
  bool no_embed_class = false, fold = false;
};

// The likelier reading first: a small table can be a square in two ways.
std::vector<Rows> readings(const Renamed& renamed, const VitConfig& config) {
  const Rows all{config.prefix(), false, false}, patches{0, true, false}, folded{1, true, true};
  if (config.reg_tokens == 0 || !config.class_token) return {all, patches};
  // A DeiT of Hugging Face whose second token has no head: the table has a row for it.
  if (renamed.naming->library == Library::hf && !config.layer_scale) return {all};
  if (renamed.naming->library == Library::timm && renamed.prefix != "visual.") {
    return {patches, folded, all};
  }
  return {folded, patches, all};
}

void infer_grid(const Renamed& renamed, const Known<std::int64_t>& img_size, Family& family) {
  VitConfig& config = family.config;
  const std::int64_t rows = renamed.extent("pos_embed", -2);
  if (rows == 0) {  // it is missing, which is said with all else that is
    config.img_size = img_size ? img_size.value : config.patch_size;
    return;
  }
  const Rows* chosen = nullptr;
  std::int64_t grid = 0;
  const std::vector<Rows> possible = readings(renamed, config);
  for (const Rows& reading : possible) {
    const std::int64_t root = root_of(rows - reading.extra);
    const bool as_told = root > 0 && img_size && root * config.patch_size == img_size.value;
    if (root == 0 || (chosen != nullptr && !as_told)) continue;
    chosen = &reading;
    grid = root;
    if (as_told) break;
  }
  if (chosen == nullptr) {
    throw ConfigError(fmt::format(
        "pos_embed: expected rows for a square of patches and {} tokens before them, found {} rows",
        config.prefix(), rows));
  }
  config.no_embed_class = chosen->no_embed_class;
  family.fold_class_position = chosen->fold;
  config.img_size = grid * config.patch_size;
}

std::int64_t depth_of(const Renamed& renamed) {
  std::int64_t depth = 0;
  for (const auto& [name, pieces] : renamed.pieces) {
    if (!name.starts_with("blocks.")) continue;
    depth = std::max<std::int64_t>(depth, std::stoll(name.substr(7)) + 1);
  }
  return depth;
}

// A second token without a head of its own only takes part in the attention: a register.
void demote_dist_token(Renamed& renamed, Family& family) {
  const bool headless_pair = renamed.naming->library == Library::hf || family.headless;
  if (!renamed.has("dist_token") || renamed.has("head_dist.weight") || !headless_pair) return;
  auto token = renamed.pieces.extract("dist_token");
  token.key() = "reg_token";
  renamed.pieces.insert(std::move(token));
  family.lines.push_back("its distillation token has no head and becomes a register token");
}

}  // namespace

void infer_network(Renamed& renamed, const Known<std::int64_t>& img_size, Family& family) {
  VitConfig& config = family.config;
  family.headless = !renamed.has("head.weight") && !renamed.has("head_dist.weight");
  demote_dist_token(renamed, family);

  config.embed_dim = std::max<std::int64_t>(renamed.extent("patch_embed.proj.weight", 0), 1);
  config.in_chans = renamed.extent("patch_embed.proj.weight", 1);
  config.patch_size = std::max<std::int64_t>(renamed.extent("patch_embed.proj.weight", 3), 1);
  config.depth = std::max<std::int64_t>(depth_of(renamed), 1);
  config.mlp_dim = std::max<std::int64_t>(renamed.extent("blocks.0.mlp.fc1.weight", 0), 1);
  config.num_classes = family.headless ? config.embed_dim : renamed.extent("head.weight", 0);

  config.class_token = renamed.has("cls_token") || renamed.naming->library == Library::hf;
  config.dist_token = renamed.has("dist_token");
  config.reg_tokens = renamed.extent("reg_token", -2);
  config.pre_norm = renamed.has("norm_pre.weight");
  config.layer_scale = renamed.has("blocks.0.ls1.gamma");
  config.fc_norm = renamed.has("fc_norm.weight") && !renamed.has("norm.weight");
  config.global_pool = config.fc_norm || !config.class_token ? PoolKind::avg : PoolKind::token;
  config.patch_bias = renamed.has("patch_embed.proj.bias");
  config.qkv_bias = renamed.has("blocks.0.attn.qkv.bias");
  config.proj_bias = renamed.has("blocks.0.attn.proj.bias");
  config.head_bias = renamed.has("head.bias");
  family.wide_head = renamed.naming->library == Library::hf && config.layer_scale && !family.headless &&
                     renamed.extent("head.weight", 1) == 2 * config.embed_dim;
  config.num_heads = 1;  // no tensor tells
  infer_grid(renamed, img_size, family);
  config.check();
}

}  // namespace vitrail::families
