// Copies beside ops, ops started together, other threads and times: what the engine asks of the device
// besides ops.

#include <doctest/doctest.h>

#include <thread>

#include "kernels/error.h"
#include "tests/support/cuda_emulated.h"

namespace vitrail::test {
namespace {

constexpr std::int64_t kCount = 300;
constexpr std::size_t kBytes = kCount * sizeof(float);

std::vector<float> numbers(float first) {
  std::vector<float> values(kCount);
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = first + static_cast<float>(i);
  return values;
}

// a + 1 each time it is run.
struct Counter {
  explicit Counter(Backend& backend_in) : backend(backend_in), memory(backend, 2 * kBytes) {
    const std::vector<float> ones(kCount, 1);
    backend.upload(one, ones.data(), kBytes);
  }
  void add_one() { backend.run(Combine{.y = a, .a = a, .b = one, .beta = 1}); }
  std::vector<float> values() const {
    std::vector<float> found(kCount);
    backend.download(found.data(), a, kBytes);
    return found;
  }

  Backend& backend;
  Buffer memory;
  Out a{memory.data(), DType::f32, {kCount}};
  Out one{memory.data() + kBytes, DType::f32, {kCount}};
};

template <class Test>
void in_ten_orders(const Test& test) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    CAPTURE(seed);
    shuffle_cuda(seed);
    test();
  }
  shuffle_cuda(0);
}

// Pinned for as long as it lives.
struct Pinned {
  explicit Pinned(Backend& backend_in) : backend(backend_in), floats(kCount) {
    backend.page_lock(reinterpret_cast<std::byte*>(floats.data()), kBytes);
  }
  ~Pinned() { backend.page_unlock(reinterpret_cast<std::byte*>(floats.data())); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  Backend& backend;
  std::vector<float> floats;
};

TEST_CASE("cuda: what is copied ahead comes when it is delivered, and no earlier") {
  in_ten_orders([] {
    Counter counter(*cuda_backend());
    std::vector<float> next = numbers(0), seen;
    counter.backend.upload(counter.a, next.data(), kBytes);
    for (int batch = 1; batch <= 5; ++batch) {
      counter.add_one();
      next = numbers(10.0f * static_cast<float>(batch));
      counter.backend.prefetch(counter.a, next.data(), kBytes);
      counter.add_one();
      seen = counter.values();
      CHECK(seen == numbers(10.0f * static_cast<float>(batch - 1) + 2));
      counter.backend.deliver(counter.a, next.data(), kBytes);
    }
    CHECK(counter.values() == numbers(50));
  });
}

TEST_CASE(
    "cuda: of two copies ahead the second is delivered, and a tensor that is freed takes its own along") {
  Counter counter(*cuda_backend());
  const std::vector<float> first = numbers(1), second = numbers(2);
  counter.backend.prefetch(counter.a, first.data(), kBytes);
  counter.backend.prefetch(counter.a, second.data(), kBytes);
  counter.backend.deliver(counter.a, second.data(), kBytes);
  CHECK(counter.values() == second);
  if (!cuda_is_emulated()) return;
  const auto free = counter.backend.free_memory();
  {
    Counter other(*cuda_backend());
    other.backend.prefetch(other.a, first.data(), kBytes);
    CHECK(*other.backend.free_memory() < *free);
  }
  CHECK(counter.backend.free_memory() == free);
}

TEST_CASE("cuda: a download has what was there when it began, whatever runs behind the fence") {
  in_ten_orders([] {
    Counter counter(*cuda_backend());
    Pinned to(counter.backend);
    const std::vector<float> start = numbers(0);
    counter.backend.upload(counter.a, start.data(), kBytes);
    for (int round = 1; round <= 3; ++round) {
      counter.add_one();
      counter.backend.begin_download(to.floats.data(), counter.a, kBytes);
      counter.backend.fence_downloads();
      counter.add_one();
      std::thread([&] { counter.backend.await_downloads(); }).join();
      CHECK(to.floats == numbers(2.0f * static_cast<float>(round) - 1));
    }
    CHECK(counter.values() == numbers(6));
  });
}

TEST_CASE("cuda: ops that are started together are those that were asked for, with their numbers") {
  in_ten_orders([] {
    Counter counter(*cuda_backend());
    const std::vector<float> start = numbers(0);
    counter.backend.upload(counter.a, start.data(), kBytes);
    float sum = 0;
    for (const int ops : {2, 2, 3, 3, 1}) {  // as before, and more and fewer than before
      counter.backend.run_together([&] {
        for (int i = 0; i < ops; ++i)
          counter.add_one();
      });
      sum += static_cast<float>(ops);
      CHECK(counter.values() == numbers(sum));
    }
    Counter elsewhere(*cuda_backend());  // the same op on other operands
    elsewhere.backend.run_together([&] { elsewhere.add_one(); });
    CHECK(elsewhere.values() == std::vector<float>(kCount, 1));
    CHECK(counter.values() == numbers(sum));
  });
}

TEST_CASE("cuda: ops that are started together may need more memory for the moment, or be refused") {
  const auto backend = make_backend("cuda");  // that has set nothing aside yet
  const std::vector<double> ones(kCount, 1);
  Tensor grad(*backend, DType::f32, {kCount}, ones), norm(*backend, DType::f64, {1});
  for (int time = 0; time < 3; ++time) {
    backend->zero(norm);
    backend->run_together([&] { backend->run(GradNorm{.norm = norm, .grad = grad}); });
    CHECK(norm.get()[0] == doctest::Approx(std::sqrt(double(kCount))));
  }
  CHECK_THROWS_AS(backend->run_together([&] { throw Error("refused"); }), Error);
  backend->run_together([&] { backend->run(GradNorm{.norm = norm, .grad = grad}); });
  CHECK(norm.get()[0] == doctest::Approx(std::sqrt(double(kCount))));
}

TEST_CASE("cuda: any thread may run ops, on each GPU") {
  const auto first = make_backend("cuda:0");
  std::unique_ptr<Backend> second;
  try {
    second = make_backend("cuda:1");
  } catch (const Error&) {
    return;  // a machine with one GPU
  }
  Counter on_first(*first), on_second(*second);
  std::thread([&] {
    on_second.add_one();
    on_first.add_one();
    on_second.add_one();
    CHECK(on_second.values() == std::vector<float>(kCount, 2));
  }).join();
  CHECK(on_first.values() == std::vector<float>(kCount, 1));
}

TEST_CASE("cuda: ops are timed by the device") {
  const auto backend = make_backend("cuda");
  Counter counter(*backend);
  backend->set_profiling(true);
  for (int i = 0; i < 3; ++i)
    backend->run_together([&] { counter.add_one(); });
  CHECK(backend->profile().at("combine").calls == 3);
  const double before = backend->profile().at("combine").seconds;
  CHECK(before > 0);
  counter.add_one();
  CHECK(backend->profile().at("combine").calls == 4);
  CHECK(backend->profile().at("combine").seconds > before);
}

}  // namespace
}  // namespace vitrail::test
