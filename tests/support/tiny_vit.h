#pragma once
// Tiny networks, one for each family switch, for the tests of everything that handles whole models.

#include <string>
#include <vector>

#include "engine/param_set.h"
#include "engine/train_config.h"
#include "engine/vit_config.h"

namespace vitrail::test {

struct NamedConfig {
  std::string name;
  VitConfig config;
};

inline VitConfig tiny_config() {
  VitConfig config;
  config.name = "vit_tiny_patch16_224";
  config.img_size = 8;
  config.patch_size = 4;
  config.in_chans = 3;
  config.num_classes = 5;
  config.embed_dim = 8;
  config.depth = 2;
  config.num_heads = 2;
  config.mlp_dim = 12;
  return config;
}

// The same network with every kind of dropout.
inline VitConfig with_every_dropout(VitConfig config) {
  config.drop_rate = 0.2;
  config.pos_drop_rate = 0.1;
  config.proj_drop_rate = 0.2;
  config.attn_drop_rate = 0.2;
  config.drop_path_rate = 0.4;
  return config;
}

// Training of tiny_config() on synthetic_data() of its own image size.
inline TrainConfig tiny_training() {
  TrainConfig config;
  config.data = "synthetic";
  config.model = tiny_config();
  config.input.size = config.model.img_size;
  return config;
}

// Every switch of VitConfig is on in at least one of them, and off in at least one.
inline std::vector<NamedConfig> switch_configs() {
  std::vector<NamedConfig> all;
  const auto add = [&](const std::string& name, auto change) {
    NamedConfig named{name, tiny_config()};
    change(named.config);
    all.push_back(named);
  };
  add("plain", [](VitConfig&) {});
  add("deit_distilled", [](VitConfig& c) { c.dist_token = true; });
  add("deit3", [](VitConfig& c) {
    c.no_embed_class = true;
    c.layer_scale = true;
    c.init_values = 0.1;
  });
  add("dinov2_registers", [](VitConfig& c) {
    c.reg_tokens = 3;
    c.no_embed_class = true;
    c.layer_scale = true;
    c.init_values = 0.5;
  });
  add("clip", [](VitConfig& c) {
    c.pre_norm = true;
    c.patch_bias = false;
    c.norm_eps = 1e-5;
    c.gelu = GeluKind::quick;
    c.head_bias = false;
  });
  add("gap", [](VitConfig& c) {
    c.class_token = false;
    c.global_pool = PoolKind::avg;
    c.qkv_bias = false;
  });
  add("gap_fc_norm", [](VitConfig& c) {
    c.global_pool = PoolKind::avg;
    c.fc_norm = true;
    c.gelu = GeluKind::tanh;
    c.proj_bias = false;
  });
  add("token_fc_norm_registers", [](VitConfig& c) {
    c.fc_norm = true;
    c.reg_tokens = 2;
  });
  add("grey_one_block", [](VitConfig& c) {
    c.in_chans = 1;
    c.depth = 1;
    c.patch_size = 2;
  });
  return all;
}

// Weights of a size that exercises every path (timm's initial values leave LayerScale and tokens near zero):
// matrices and biases normal, norms' weights around 1.
inline void randomize(Backend& backend, const ParamSet& params, std::uint64_t seed, double scale = 0.3) {
  std::uint32_t number = 0;
  for (const ParamTensor& tensor : params.tensors()) {
    const std::size_t count = static_cast<std::size_t>(tensor.spec.shape.elements());
    const bool around_one = tensor.spec.init == Init::ones;
    std::vector<double> values(count);
    for (std::size_t e = 0; e < count; ++e) {
      const Random4 bits = random4({seed, Purpose::init, 1, number}, 0, static_cast<std::uint32_t>(e));
      // The sum of four uniform numbers has variance 1/3: near enough to a normal one.
      const double sum = uniform(bits[0]) + uniform(bits[1]) + uniform(bits[2]) + uniform(bits[3]) - 2;
      values[e] = (around_one ? 1 : 0) + scale * sum * 1.7;
    }
    ++number;
    if (params.dtype() == DType::f64) {
      backend.upload(tensor.view, values.data(), count * sizeof(double));
    } else {
      const std::vector<float> narrow(values.begin(), values.end());
      backend.upload(tensor.view, narrow.data(), count * sizeof(float));
    }
  }
}

// Everything random is on; 40 images make 6 steps of 6 with 4 left over; a step is 3 micro-batches.
inline TrainConfig training_with_everything() {
  TrainConfig config = tiny_training();
  config.model = with_every_dropout(config.model);
  config.model.num_classes = 4;
  config.input.crop_pct = 1;
  config.augment.shift = 1;
  config.augment.erase = 0.3;
  config.augment.crop_min = 0.5;
  config.ema.decay = 0.9;
  config.opt.layer_decay = 0.8;
  config.label_smoothing = 0.1;
  config.epochs = 3;
  config.batch = 6;
  config.accumulate = 3;
  config.seed = 5;
  return config;
}

}  // namespace vitrail::test
