#pragma once
// A network's sizes and switches as check_torch.py builds it.

#include <nlohmann/json.hpp>

#include "engine/vit_config.h"

namespace vitrail::test {

inline nlohmann::ordered_json describe(const VitConfig& c) {
  return {
      {"img_size", c.img_size},       {"patch_size", c.patch_size},   {"in_chans", c.in_chans},
      {"num_classes", c.num_classes}, {"embed_dim", c.embed_dim},     {"depth", c.depth},
      {"num_heads", c.num_heads},     {"mlp_dim", c.mlp_dim},         {"class_token", c.class_token},
      {"dist_token", c.dist_token},   {"reg_tokens", c.reg_tokens},   {"no_embed_class", c.no_embed_class},
      {"pre_norm", c.pre_norm},       {"layer_scale", c.layer_scale}, {"global_pool", name_of(c.global_pool)},
      {"fc_norm", c.fc_norm},         {"gelu", name_of(c.gelu)},      {"norm_eps", c.norm_eps},
      {"patch_bias", c.patch_bias},   {"qkv_bias", c.qkv_bias},       {"proj_bias", c.proj_bias},
      {"head_bias", c.head_bias}};
}

}  // namespace vitrail::test
