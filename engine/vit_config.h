#pragma once
// Sizes and switches of a Vision Transformer. Names follow timm's VisionTransformer
// (timm/models/vision_transformer.py); together the switches cover plain ViT, DeiT, DeiT III, DINOv2 with and
// without registers, the CLIP vision tower and the gap models.

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/gelu.h"

namespace vitrail {

enum class PoolKind : std::uint8_t {
  token,  // the class token (with dist_token: the mean of both heads)
  avg,    // the mean of the patch tokens
};

// How the weights begin; the names are those of timm's weight_init, whose '' is `timm` here.
enum class WeightInit : std::uint8_t {
  timm,  // every matrix normal with deviation 0.02, whatever its size
  jax,   // matrices scaled by their size (Xavier), the head zero: small models learn sooner
};

struct VitConfig {
  std::string name = "vit_tiny_patch16_224";
  std::int64_t img_size = 224;  // pixels, square
  std::int64_t patch_size = 16;
  std::int64_t in_chans = 3;  // 1 to 4
  std::int64_t num_classes = 1000;
  std::int64_t embed_dim = 192;
  std::int64_t depth = 12;
  std::int64_t num_heads = 3;
  std::int64_t mlp_dim = 768;  // width of the hidden layer: mlp_ratio · embed_dim

  bool class_token = true;
  bool dist_token = false;      // DeiT distilled: a second token with a head of its own, head_dist
  std::int64_t reg_tokens = 0;  // DINOv2's registers
  bool no_embed_class = false;  // position embedding for the patches only
  bool pre_norm = false;        // CLIP: a LayerNorm (norm_pre) before block 0
  bool layer_scale = false;
  double init_values = 1e-5;  // LayerScale's initial gamma
  PoolKind global_pool = PoolKind::token;
  bool fc_norm = false;  // LayerNorm after pooling in place of the one before it
  GeluKind gelu = GeluKind::erf;
  double norm_eps = 1e-6;
  bool patch_bias = true;
  bool qkv_bias = true;
  bool proj_bias = true;  // attn.proj, mlp.fc1 and mlp.fc2
  bool head_bias = true;
  WeightInit weight_init = WeightInit::timm;

  double drop_rate = 0;       // before the head
  double pos_drop_rate = 0;   // after the position embedding
  double proj_drop_rate = 0;  // after attn.proj, the MLP's GELU and mlp.fc2
  double attn_drop_rate = 0;  // on the attention probabilities
  double drop_path_rate = 0;  // stochastic depth: linear from 0 at the first block to this at the last

  std::int64_t grid() const { return img_size / patch_size; }
  std::int64_t patches() const { return grid() * grid(); }
  std::int64_t prefix() const { return (class_token ? 1 : 0) + (dist_token ? 1 : 0) + reg_tokens; }
  std::int64_t tokens() const { return prefix() + patches(); }
  std::int64_t head_dim() const { return embed_dim / num_heads; }
  std::int64_t patch_elements() const { return in_chans * patch_size * patch_size; }
  std::int64_t pos_tokens() const { return no_embed_class ? patches() : tokens(); }

  // Throws ConfigError when the numbers do not fit together, saying which and what would.
  void check() const;

  friend bool operator==(const VitConfig&, const VitConfig&) = default;
};

// Floating-point operations of the matrix products of one image's forward pass (2 per multiply-add);
// a training step takes three times as many.
std::int64_t forward_flops(const VitConfig& config);

// The sizes of a timm name, such as "vit_small_patch16_224" or "deit3_base_patch16_224".
// Throws ConfigError naming the nearest known one.
VitConfig vit_config(const std::string& name);
std::vector<std::string> vit_config_names();

const char* name_of(PoolKind pool);    // "token", "avg"
const char* name_of(GeluKind gelu);    // "erf", "tanh", "quick"
const char* name_of(WeightInit init);  // "timm", "jax"

}  // namespace vitrail
