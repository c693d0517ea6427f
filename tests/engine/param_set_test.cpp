#include "engine/param_set.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>

#include "kernels/backend.h"

using namespace vitrail;

namespace {

struct Moments {
  double mean = 0, deviation = 0, largest = 0;
};

// Of the initial values of each parameter.
std::map<std::string, Moments> initial(WeightInit init) {
  VitConfig config;
  config.img_size = 32, config.patch_size = 8, config.embed_dim = 96, config.depth = 1, config.mlp_dim = 192;
  config.num_classes = 50;
  config.weight_init = init;
  const auto backend = make_backend("cpu", {.threads = 1});
  const ParamSet params(*backend, config, DType::f64);
  init_params(*backend, config, params, 7);
  std::map<std::string, Moments> result;
  for (const ParamTensor& tensor : params.tensors()) {
    std::vector<double> values(static_cast<std::size_t>(tensor.spec.shape.elements()));
    backend->download(values.data(), tensor.view, values.size() * sizeof(double));
    Moments& m = result[tensor.spec.name];
    for (double value : values) {
      m.mean += value / double(values.size());
      m.largest = std::max(m.largest, std::abs(value));
    }
    for (double value : values)
      m.deviation += (value - m.mean) * (value - m.mean) / double(values.size());
    m.deviation = std::sqrt(m.deviation);
  }
  return result;
}

}  // namespace

TEST_CASE("timm's usual initial weights: deviation 0.02, and PyTorch's own for the patch convolution") {
  const std::map<std::string, Moments> m = initial(WeightInit::timm);
  for (const char* name :
       {"blocks.0.attn.qkv.weight", "blocks.0.mlp.fc1.weight", "head.weight", "pos_embed"}) {
    CAPTURE(name);
    CHECK(m.at(name).deviation == doctest::Approx(0.02).epsilon(0.05));
    CHECK(std::abs(m.at(name).mean) < 0.002);
  }
  const double bound = 1 / std::sqrt(3.0 * 8 * 8);
  CHECK(m.at("patch_embed.proj.weight").largest <= bound);
  CHECK(m.at("patch_embed.proj.weight").deviation ==
        doctest::Approx(bound / std::numbers::sqrt3).epsilon(0.03));
  CHECK(m.at("blocks.0.mlp.fc1.bias").largest == 0);
}

TEST_CASE(
    "timm's jax initial weights: Xavier by the size of each matrix, LeCun for the patches, a zero head") {
  const std::map<std::string, Moments> m = initial(WeightInit::jax);
  const auto xavier = [&](const char* name, double out, double in) {
    CAPTURE(name);
    const double bound = std::sqrt(6 / (out + in));
    CHECK(m.at(name).largest <= bound);
    CHECK(m.at(name).deviation == doctest::Approx(bound / std::numbers::sqrt3).epsilon(0.03));
  };
  xavier("blocks.0.attn.qkv.weight", 288, 96);
  xavier("blocks.0.attn.proj.weight", 96, 96);
  xavier("blocks.0.mlp.fc1.weight", 192, 96);
  const Moments& patch = m.at("patch_embed.proj.weight");
  CHECK(patch.deviation == doctest::Approx(1 / std::sqrt(192.0)).epsilon(0.03));
  CHECK(patch.largest <= 2 / std::sqrt(192.0) / 0.8796);
  CHECK(patch.largest > 1.9 / std::sqrt(192.0) / 0.8796);
  CHECK(m.at("patch_embed.proj.bias").largest == 0);
  CHECK(m.at("head.weight").largest == 0);
  CHECK(m.at("blocks.0.mlp.fc1.bias").deviation == doctest::Approx(1e-6).epsilon(0.3));
  CHECK(m.at("blocks.0.attn.qkv.bias").largest == 0);
  CHECK(m.at("blocks.0.norm1.weight").mean == doctest::Approx(1));
  CHECK(m.at("blocks.0.norm1.weight").largest == 1);
}
