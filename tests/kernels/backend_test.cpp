#include "kernels/backend.h"

#include <doctest/doctest.h>

#include <utility>

#include "kernels/error.h"
#include "tests/support/kernels_op_run.h"

namespace vitrail::test {
namespace {

std::string refusal(const std::string& device, const BackendOptions& options) {
  try {
    make_backend(device, options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

void check_mentions(const std::string& message, std::initializer_list<std::string> words) {
  CAPTURE(message);
  for (const std::string& word : words)
    CHECK(message.find(word) != std::string::npos);
}

TEST_CASE("make_backend: what cannot be had is refused, naming the choices") {
  check_mentions(refusal("tpu", {}), {"tpu", "cpu", "cuda", "cuda:N", "auto"});
  for (const char* device : {"cuda:", "cuda:-1", "cuda:+1", "cuda:1x", "cuda:70000", "cuda 1"})
    check_mentions(refusal(device, {}), {device, "expected", "cuda:N"});
  check_mentions(refusal("cpu", {.threads = -1}), {"threads", "-1"});
  check_mentions(refusal("cpu", {.gemm = "magic"}), {"gemm", "magic", "onednn", "eigen"});
  check_mentions(refusal("cpu", {.isa = "mmx"}), {"isa", "mmx"});
}

TEST_CASE("make_backend: info says what was chosen") {
  const BackendInfo info = cpu_backend({.threads = 3, .gemm = "eigen"})->info();
  CHECK(info.device == "cpu");
  CHECK(info.threads == 3);
  CHECK(info.gemm == "Eigen");
  CHECK_FALSE(info.isa.empty());
  CHECK_FALSE(info.name.empty());
  CHECK(make_backend("cpu")->info().threads >= 1);
}

TEST_CASE("backend: an op with a broken contract or in bf16 is not executed") {
  float one = 1;
  const Out f32 = {&one, DType::f32, {1}}, bf16 = {&one, DType::bf16, {1}};
  Backend& backend = *cpu_backend();
  CHECK_THROWS_AS(backend.run(Combine{.y = f32, .a = bf16, .b = {}}), Error);
  try {
    backend.run(Combine{.y = bf16, .a = bf16, .b = {}});
    FAIL("bf16 was accepted");
  } catch (const Error& error) {
    check_mentions(error.what(), {"combine", "bf16", "f32"});
  }
}

TEST_CASE("buffer: aligned, zero-filled, moved") {
  Backend& backend = *cpu_backend();
  Buffer a(backend, 10000);
  CHECK(reinterpret_cast<std::uintptr_t>(a.data()) % 4096 == 0);
  bool zero = true;
  for (std::size_t i = 0; i < a.size(); ++i)
    zero = zero && a.data()[i] == std::byte{0};
  CHECK(zero);
  std::byte* const data = a.data();
  Buffer b = std::move(a);
  CHECK(b.data() == data);
  CHECK(b.size() == 10000);
  Buffer c(backend, 1);
  c = std::move(b);
  CHECK(c.data() == data);
  CHECK(Buffer(backend, 0).data() == nullptr);
}

TEST_CASE("backend: zero, copy, upload, download") {
  Backend& backend = *cpu_backend();
  const Tensor a(backend, DType::f64, {5}, {1, 2, 3, 4, 5}), b(backend, DType::f64, {5});
  backend.copy(b, a);
  CHECK(b.get() == std::vector<double>{1, 2, 3, 4, 5});
  backend.zero(a);
  CHECK(a.get() == std::vector<double>(5, 0));
  double four[4];
  CHECK_THROWS_AS(backend.upload(a, four, sizeof four), Error);
  CHECK_THROWS_AS(backend.download(four, a, sizeof four), Error);
}

TEST_CASE("backend: profiling counts calls by op, and forgets when it is set again") {
  const auto backend = make_backend("cpu", {.threads = 1});
  const Tensor a(*backend, DType::f64, {5}, {1, 2, 3, 4, 5});
  backend->run(Combine{.y = a, .a = a, .b = {}});
  CHECK(backend->profile().empty());
  backend->set_profiling(true);
  for (int i = 0; i < 3; ++i)
    backend->run(Combine{.y = a, .a = a, .b = {}});
  CHECK(backend->profile().size() == 1);
  CHECK(backend->profile().at("combine").calls == 3);
  CHECK(backend->profile().at("combine").seconds >= 0);
  backend->set_profiling(false);
  CHECK(backend->profile().empty());
}

}  // namespace
}  // namespace vitrail::test
