#pragma once
// THE list of parameters. Allocation, initialisation, weight decay, the optimizer, every file format and the
// gradient tests walk it; there is no second one. Names and order are timm's state dict, letter for letter.

#include <string>
#include <vector>

#include "engine/vit_config.h"
#include "kernels/quantize.h"

namespace vitrail {

// timm's initialisations (vision_transformer.py, init_weights_vit_timm, where a Conv2d keeps PyTorch's
// default, and init_weights_vit_jax).
enum class Init : std::uint8_t {
  zeros,
  ones,
  normal_02,     // normal, std 0.02, cut off at ±2
  normal_1e6,    // normal, std 1e-6: tokens
  xavier,        // uniform in ±√(6 / (in + out)) of the matrix
  lecun,         // normal, cut off at two deviations, variance 1 / (in_chans·P·P) after the cut
  uniform_conv,  // uniform in ±1/√(in_chans·P·P): the patch convolution and its bias
  layer_scale,   // init_values
};

struct ParamSpec {
  std::string name;
  Shape shape;
  Init init = Init::zeros;
  bool decay = false;      // weight decay applies: matrices that are no token and no position embedding
  std::int64_t layer = 0;  // for layer-wise decay: 0 stem, i + 1 block i, depth norm, depth + 1 head
};

struct NormParams {
  Out weight, bias;  // (dim)
};

struct LinearParams {
  Out weight;                    // (out, in)
  Out bias;                      // (out), absent where the config says so
  QuantizedRows quantized = {};  // of an int8 weight (engine/narrow_weights.h): no parameters
};

struct BlockParams {
  NormParams norm1;
  LinearParams qkv, proj;  // (3·dim, dim), (dim, dim)
  Out ls1;                 // (dim), absent without LayerScale
  NormParams norm2;
  LinearParams fc1, fc2;  // (mlp_dim, dim), (dim, mlp_dim)
  Out ls2;
};

// One view for each parameter: of the weights, of their gradients or of either moment. Absent parameters have
// no data.
struct VitParams {
  Out cls_token;             // (1, 1, dim)
  Out reg_token;             // (1, registers, dim)
  Out pos_embed;             // (1, pos_tokens, dim)
  Out dist_token;            // (1, 1, dim)
  LinearParams patch_embed;  // weight (dim, in_chans, P, P)
  NormParams norm_pre;
  std::vector<BlockParams> blocks;
  NormParams norm, fc_norm;
  LinearParams head, head_dist;  // (num_classes, dim)
};

// Calls visit(const ParamSpec&, Out& place) for each parameter that the config has, in order.
template <class Visit>
void visit_params(const VitConfig& config, VitParams& params, Visit&& visit) {
  const std::int64_t dim = config.embed_dim, last = config.depth + 1;
  const bool jax = config.weight_init == WeightInit::jax;
  const auto norm = [&](const std::string& name, NormParams& place, std::int64_t layer) {
    visit(ParamSpec{name + ".weight", {dim}, Init::ones, false, layer}, place.weight);
    visit(ParamSpec{name + ".bias", {dim}, Init::zeros, false, layer}, place.bias);
  };
  const auto linear = [&](const std::string& name, LinearParams& place, std::int64_t out, std::int64_t in,
                          bool bias, std::int64_t layer) {
    const Init weight = !jax ? Init::normal_02 : layer == last ? Init::zeros : Init::xavier;
    const Init offset = jax && name.find(".mlp.") != std::string::npos ? Init::normal_1e6 : Init::zeros;
    visit(ParamSpec{name + ".weight", {out, in}, weight, true, layer}, place.weight);
    if (bias) visit(ParamSpec{name + ".bias", {out}, offset, false, layer}, place.bias);
  };
  const auto gamma = [&](const std::string& name, Out& place, std::int64_t layer) {
    if (config.layer_scale) visit(ParamSpec{name + ".gamma", {dim}, Init::layer_scale, false, layer}, place);
  };
  const auto token = [&](const std::string& name, Out& place, std::int64_t count, Init init) {
    if (count > 0) visit(ParamSpec{name, {1, count, dim}, init, false, 0}, place);
  };

  token("cls_token", params.cls_token, config.class_token ? 1 : 0, Init::normal_1e6);
  token("reg_token", params.reg_token, config.reg_tokens, Init::normal_1e6);
  token("pos_embed", params.pos_embed, config.pos_tokens(), Init::normal_02);
  token("dist_token", params.dist_token, config.dist_token ? 1 : 0, Init::normal_02);
  visit(ParamSpec{"patch_embed.proj.weight",
                  {dim, config.in_chans, config.patch_size, config.patch_size},
                  jax ? Init::lecun : Init::uniform_conv,
                  true,
                  0},
        params.patch_embed.weight);
  if (config.patch_bias) {
    visit(ParamSpec{"patch_embed.proj.bias", {dim}, jax ? Init::zeros : Init::uniform_conv, false, 0},
          params.patch_embed.bias);
  }
  if (config.pre_norm) norm("norm_pre", params.norm_pre, 0);

  params.blocks.resize(static_cast<std::size_t>(config.depth));
  for (std::int64_t i = 0; i < config.depth; ++i) {
    BlockParams& block = params.blocks[static_cast<std::size_t>(i)];
    const std::string name = "blocks." + std::to_string(i);
    norm(name + ".norm1", block.norm1, i + 1);
    linear(name + ".attn.qkv", block.qkv, 3 * dim, dim, config.qkv_bias, i + 1);
    linear(name + ".attn.proj", block.proj, dim, dim, config.proj_bias, i + 1);
    gamma(name + ".ls1", block.ls1, i + 1);
    norm(name + ".norm2", block.norm2, i + 1);
    linear(name + ".mlp.fc1", block.fc1, config.mlp_dim, dim, config.proj_bias, i + 1);
    linear(name + ".mlp.fc2", block.fc2, dim, config.mlp_dim, config.proj_bias, i + 1);
    gamma(name + ".ls2", block.ls2, i + 1);
  }

  if (config.fc_norm) {
    norm("fc_norm", params.fc_norm, last);
  } else {
    norm("norm", params.norm, config.depth);
  }
  linear("head", params.head, config.num_classes, dim, config.head_bias, last);
  if (config.dist_token)
    linear("head_dist", params.head_dist, config.num_classes, dim, config.head_bias, last);
}

}  // namespace vitrail
