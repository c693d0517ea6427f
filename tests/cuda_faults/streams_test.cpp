// Broken uses of streams, events, copies and memory, as an engine with copies beside its kernels could have
// them.

#include <cuda_launch.h>
#include <doctest/doctest.h>

#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using cuda_emulation::expect_fault;

constexpr int kCount = 100;

__global__ void add_one(float* y, const float* x) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < kCount) y[i] = x[i] + 1;
}

enum class Flaw {
  none,
  no_event_wait,     // kernels do not wait for the copy to the device
  event_too_early,   // recorded before the copy
  no_download_wait,  // results are read while they come
  reused_too_early,  // the next batch is written over the one that is on its way
  not_pinned_size,   // the copy is one number short
};

struct Streams {
  Streams() {
    cudaStreamCreate(&copies);
    cudaStreamCreate(&kernels);
    cudaEventCreate(&event);
    cudaHostAlloc(&memory, 2 * kCount * sizeof(float), 0);
  }
  ~Streams() {
    cudaEventDestroy(event);
    cudaStreamDestroy(copies);
    cudaStreamDestroy(kernels);
    cudaFreeHost(memory);
  }
  Streams(const Streams&) = delete;
  Streams& operator=(const Streams&) = delete;

  cudaStream_t copies = nullptr, kernels = nullptr;
  cudaEvent_t event = nullptr;
  void* memory = nullptr;
};

// Two batches through one pinned buffer: copied in one stream, computed on in another, copied back.
template <Flaw F>
Numbers two_batches() {
  Streams s;
  float* const in = static_cast<float*>(s.memory);
  float* const out = in + kCount;
  DeviceArray<float> x(kCount), y(kCount);
  Numbers result;
  for (int batch = 0; batch < 2; ++batch) {
    const Numbers numbers = some_numbers(kCount, batch);
    std::copy(numbers.begin(), numbers.end(), in);
    if constexpr (F == Flaw::event_too_early) cudaEventRecord(s.event, s.copies);
    const std::size_t bytes = x.bytes() - (F == Flaw::not_pinned_size ? sizeof(float) : 0);
    cudaMemcpyAsync(x.device(), in, bytes, cudaMemcpyHostToDevice, s.copies);
    if constexpr (F != Flaw::event_too_early) cudaEventRecord(s.event, s.copies);
    if constexpr (F != Flaw::no_event_wait) cudaStreamWaitEvent(s.kernels, s.event, 0);
    if constexpr (F == Flaw::reused_too_early) std::fill(in, in + kCount, 0.0f);
    launch<add_one>({.grid = 1, .block = 128, .stream = s.kernels}, y.device(), x.device());
    cudaMemcpyAsync(out, y.device(), y.bytes(), cudaMemcpyDeviceToHost, s.kernels);
    if constexpr (F != Flaw::no_download_wait) cudaStreamSynchronize(s.kernels);
    result.insert(result.end(), out, out + kCount);
    cudaDeviceSynchronize();
  }
  return result;
}

Numbers expected_batches() {
  Numbers expected;
  for (int batch = 0; batch < 2; ++batch) {
    for (float value : some_numbers(kCount, batch))
      expected.push_back(value + 1);
  }
  return expected;
}

template <Flaw F>
Broken broken(const char* fault) {
  return {fault, {kWrongNumbers}, two_batches<F>, two_batches<Flaw::none>, expected_batches()};
}

TEST_CASE("cuda faults: streams") {
  check_all({
      broken<Flaw::no_event_wait>("a kernel does not wait for a copy in another stream"),
      broken<Flaw::event_too_early>("the event is recorded before the copy"),
      broken<Flaw::no_download_wait>("results are read before their copy has been waited for"),
      broken<Flaw::reused_too_early>("the host's buffer is written again before it was copied"),
      broken<Flaw::not_pinned_size>("a copy that is one number short"),
  });
}

TEST_CASE("cuda faults: memory that is no more") {
  auto gone = std::make_unique<DeviceArray<float>>(kCount, 1.0f);
  float* const stale = gone->device();
  gone.reset();
  const DeviceArray<float> other(kCount, 1.0f);  // of the same size: it must not lie in the same place
  DeviceArray<float> y(kCount, 0);
  expect_fault([&] { launch<add_one>({.grid = 1, .block = 128}, y.device(), stale); },
               {"kernel add_one, block (0, 0, 0), thread (0, 0, 0)", "access out of bounds"});
  expect_fault([&] { cudaFree(stale); }, {"cudaFree", "freed before"});
  expect_fault([&] { cudaMemset(stale, 0, 4); }, {"cudaMemset", "not one to device memory"});
}

TEST_CASE("cuda faults: a wait in the midst of a capture") {
  Streams s;
  DeviceArray<float> x(kCount, 0);
  cudaStreamBeginCapture(s.kernels, cudaStreamCaptureModeThreadLocal);
  launch<add_one>({.grid = 1, .block = 128, .stream = s.kernels}, x.device(), x.device());
  expect_fault([&] { cudaStreamSynchronize(s.kernels); }, {"cudaStreamSynchronize", "captured into a graph"});
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(s.kernels, &graph);
  cudaGraphDestroy(graph);
}

}  // namespace
}  // namespace vitrail::cuda
