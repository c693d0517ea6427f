#pragma once
// Tiny networks with products in bf16, on any device: their gradients, and how near those of f64 they must
// be.

#include <doctest/doctest.h>

#include <cmath>

#include "engine/compute_weights.h"
#include "engine/micro_batch.h"
#include "engine/transfer.h"
#include "engine/vit.h"
#include "kernels/check.h"
#include "tests/support/tiny_vit.h"

namespace vitrail::test {

constexpr std::int64_t kBf16Batch = 6;

inline std::vector<float> floats_of(const Backend& backend, In view) {
  std::vector<float> values(static_cast<std::size_t>(view.shape.elements()));
  download_floats(backend, values, view);
  return values;
}

// The gradient of one batch, by parameter in their order.
inline std::vector<std::vector<float>> network_gradients(Backend& backend, const VitConfig& config,
                                                         DType dtype, Recompute level = Recompute::none) {
  const ParamSet params(backend, config, statistics_dtype(dtype)), grads(backend, config, params.dtype());
  randomize(backend, params, 7);
  ComputeWeights computed(backend, config, dtype);
  computed.follow(params);
  Vit vit(backend, config, dtype, kBf16Batch, VitMode::training, level);
  const MicroBatch micro(backend, config, params.dtype(), kBf16Batch);
  std::vector<float> images(static_cast<std::size_t>(micro.images.shape.elements()));
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = std::sin(static_cast<float>(i));
  std::vector<float> targets(static_cast<std::size_t>(micro.targets.shape.elements()));
  for (std::size_t i = 0; i < kBf16Batch; ++i)
    targets[i * static_cast<std::size_t>(config.num_classes + 1) % targets.size()] = 1;
  upload_floats(backend, micro.images, images);
  upload_floats(backend, micro.targets, targets);
  const Draws draws{.train = true, .seed = 11, .step = 5, .first_sample = 0};
  backend.run(CrossEntropy{.losses = micro.losses,
                           .dlogits = micro.dlogits,
                           .logits = vit.forward(computed.views(), micro.images, draws),
                           .targets = micro.targets,
                           .label_smoothing = 0.1,
                           .scale = 1.0 / kBf16Batch});
  vit.backward(computed.views(), grads.views(), micro.dlogits, draws);
  std::vector<std::vector<float>> all;
  for (const ParamTensor& tensor : grads.tensors())
    all.push_back(floats_of(backend, tensor.view));
  return all;
}

inline double norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values)
    sum += double(value) * double(value);
  return std::sqrt(sum);
}

inline std::vector<float> difference(std::vector<float> a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    a[i] -= b[i];
  return a;
}

inline std::vector<NamedConfig> bf16_configs() {
  std::vector<NamedConfig> all = switch_configs();
  NamedConfig dropouts{"dropouts", tiny_config()};
  dropouts.config.layer_scale = true;
  dropouts.config.init_values = 0.5;
  dropouts.config.drop_rate = dropouts.config.pos_drop_rate = 0.1;
  dropouts.config.proj_drop_rate = dropouts.config.attn_drop_rate = 0.2;
  dropouts.config.drop_path_rate = 0.4;
  all.push_back(dropouts);
  return all;
}

// bf16 has 8 significant bits: each rounding is off by up to 0.4 %, and a gradient passes some tens of them.
// The furthest of these tiny tensors is 4.2 % away, in a network 8 numbers wide, where little averages out.
inline void check_bf16_gradients(Backend& backend, Backend& cpu, const VitConfig& config) {
  const auto exact = network_gradients(cpu, config, DType::f64);
  const auto rounded = network_gradients(backend, config, DType::bf16);
  const ParamSet names(cpu, config, DType::f32);
  double whole = 0;
  for (const std::vector<float>& tensor : exact)
    whole = std::max(whole, norm(tensor));
  for (std::size_t p = 0; p < exact.size(); ++p) {
    CAPTURE(names.tensors()[p].spec.name);
    // A gradient that is zero by symmetry (the key's bias) is rounding alone.
    CHECK(norm(difference(rounded[p], exact[p])) <= 0.06 * std::max(norm(exact[p]), 0.02 * whole));
  }
}

}  // namespace vitrail::test
