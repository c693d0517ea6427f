// The optimizer behind the gate: it waits for what is read, and the order of its updates changes no bit.

#include "engine/update_gate.h"

#include <doctest/doctest.h>

#include <thread>

#include "engine/optimizer.h"
#include "tests/support/tiny_vit.h"

namespace vitrail {
namespace {

// Large enough that its matrices are cut into several tasks.
VitConfig wide_config() {
  VitConfig config = test::tiny_config();
  config.embed_dim = 96;
  config.mlp_dim = 384;
  return config;
}

struct Sets {
  Sets(Backend& backend, DType dtype)
      : weights(backend, wide_config(), dtype),
        grads(backend, wide_config(), dtype),
        ema(backend, wide_config(), dtype),
        optimizer(backend, wide_config(), {}, weights) {
    test::randomize(backend, weights, 1);
    test::randomize(backend, grads, 2);
  }
  void step(std::int64_t t, UpdateGate* gate) {
    optimizer.grad_norm(grads);
    optimizer.step(weights, grads, &ema, t, 1e-3, 0.9, gate);
  }
  std::vector<std::byte> bytes(const Backend& backend) const {
    std::vector<std::byte> all;
    for (const ParamSet* set : {&weights, &optimizer.first_moment(), &optimizer.second_moment(), &ema}) {
      std::vector<std::byte> part(set->bytes());
      backend.download(part.data(), set->flat(), part.size());
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  ParamSet weights, grads, ema;
  Optimizer optimizer;
};

}  // namespace

TEST_CASE("parameters come free one by one, when all their tensors are read") {
  UpdateGate gate;
  std::vector<std::size_t> left{0, 1, 2};
  gate.close({2, 1, 1}, 1);
  gate.release(0);
  gate.release(2);
  CHECK(gate.take_free(left) == std::vector<std::size_t>{2});
  gate.release(0);
  CHECK(gate.take_free(left) == std::vector<std::size_t>{0});
  CHECK(left == std::vector<std::size_t>{1});
  CHECK(gate.seconds_waited() == 0);
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    gate.open();
  });
  CHECK(gate.take_free(left) == std::vector<std::size_t>{1});
  gate.await_gradients();
  writer.join();
  CHECK(gate.seconds_waited() > 0);
}

TEST_CASE("an update in any order of parameters gives the same bits as one in a single pass") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    CAPTURE(name_of(dtype));
    const auto backend = make_backend("cpu", {.threads = 2});
    Sets whole(*backend, dtype), parts(*backend, dtype);
    const std::size_t count = whole.weights.tensors().size();
    REQUIRE(count % 7 != 0);  // else the releases below would not reach all
    for (std::int64_t t = 1; t <= 3; ++t) {
      whole.step(t, nullptr);
      UpdateGate gate;
      gate.close(std::vector<int>(count, 1), 0);
      std::thread writer([&] {
        for (std::size_t i = 0; i < count; ++i) {
          gate.release((i * 7 + static_cast<std::size_t>(t)) % count);
          if (i % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
      });
      parts.step(t, &gate);
      writer.join();
      CHECK((whole.bytes(*backend) == parts.bytes(*backend)));
    }
  }
}

}  // namespace vitrail
