#include "engine/compute_weights.h"

#include <doctest/doctest.h>

#include "engine/optimizer.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

std::vector<std::byte> bytes_of(const Backend& backend, In view) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(view.shape.elements()) * size_of(view.dtype));
  backend.download(bytes.data(), view, bytes.size());
  return bytes;
}

}  // namespace

TEST_CASE("f32 and f64: a network reads the parameters themselves, without memory of its own") {
  const auto backend = make_backend("cpu", {.threads = 1});
  for (const DType dtype : {DType::f32, DType::f64}) {
    const ParamSet params(*backend, test::tiny_config(), dtype);
    ComputeWeights computed(*backend, test::tiny_config(), dtype);
    computed.follow(params);
    CHECK(computed.bytes() == 0);
    CHECK_FALSE(computed.rounded());
    CHECK(computed.views().blocks[1].fc1.weight.data == params.views().blocks[1].fc1.weight.data);
  }
}

TEST_CASE("bf16: the matrices of the products are rounded, all else is read in place") {
  const auto backend = make_backend("cpu", {.threads = 2});
  for (const test::NamedConfig& named : test::switch_configs()) {
    CAPTURE(named.name);
    const ParamSet params(*backend, named.config, DType::f32);
    test::randomize(*backend, params, 7);
    ComputeWeights computed(*backend, named.config, DType::bf16);
    computed.follow(params);
    VitParams views = computed.views();
    auto tensor = params.tensors().begin();
    std::int64_t rounded = 0;
    visit_params(named.config, views, [&](const ParamSpec& spec, Out& place) {
      CAPTURE(spec.name);
      const bool matrix = spec.name.ends_with("qkv.weight") || spec.name.ends_with("proj.weight") ||
                          spec.name.ends_with("fc1.weight") || spec.name.ends_with("fc2.weight");
      CHECK(place.dtype == (matrix ? DType::bf16 : DType::f32));
      CHECK((place.shape == spec.shape));
      if (!matrix) {
        CHECK(place.data == tensor->view.data);
      } else {
        const Buffer memory(*backend, static_cast<std::size_t>(spec.shape.elements()) * 2);
        const Out expected{memory.data(), DType::bf16, spec.shape};
        backend->run(Cast{.y = expected, .x = tensor->view});
        CHECK((bytes_of(*backend, place) == bytes_of(*backend, expected)));
        ++rounded;
      }
      ++tensor;
    });
    CHECK(rounded == 1 + 4 * named.config.depth);
  }
}

TEST_CASE("bf16: an update leaves the rounded weights that following them again would make") {
  const auto backend = make_backend("cpu", {.threads = 2});
  const VitConfig config = test::tiny_config();
  const ParamSet params(*backend, config, DType::f32), grads(*backend, config, DType::f32);
  test::randomize(*backend, params, 7);
  test::randomize(*backend, grads, 8);
  ComputeWeights computed(*backend, config, DType::bf16);
  computed.follow(params);
  Optimizer optimizer(*backend, config, {}, params);
  optimizer.grad_norm(grads);
  const std::vector<std::byte> before = bytes_of(*backend, computed.rounded());
  optimizer.step(params, grads, nullptr, 1, 0.1, 0, nullptr, computed.rounded());
  const std::vector<std::byte> updated = bytes_of(*backend, computed.rounded());
  computed.follow(params);
  CHECK((updated == bytes_of(*backend, computed.rounded())));
  CHECK((updated != before));
}

}  // namespace vitrail
