// Broken ways of the copies beside ops (kernels/cuda/copies.cpp) and of ops that are started together
// (kernels/cuda/recorder.cpp).

#include <cuda_launch.h>
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using cuda_emulation::expect_fault;

constexpr int kCount = 100, kBatches = 6;
constexpr std::size_t kBytes = kCount * sizeof(float);

__global__ void add(float* y, const float* x, float value) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < kCount) y[i] = x[i] + value;
}

enum class Flaw {
  none,
  refilled_too_early,   // the pinned memory, while the copy ahead reads it
  overtaken,            // the copy ahead does not wait until the last one was delivered
  delivered_too_early,  // before it arrived
  produced_too_late,    // a download does not wait for the ops before it
  no_fence,             // ops change what is being downloaded
  not_awaited,          // the host reads what is being downloaded
};

struct Machinery {
  Machinery() {
    for (cudaStream_t* stream : {&ops, &in, &out})
      cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking);
    for (cudaEvent_t* event : {&arrived, &delivered, &produced, &downloaded})
      cudaEventCreateWithFlags(event, cudaEventDisableTiming);
    void* memory = nullptr;
    cudaHostAlloc(&memory, 2 * kBytes, 0);
    up = static_cast<float*>(memory);
    down = up + kCount;
  }
  ~Machinery() {
    for (cudaStream_t stream : {ops, in, out})
      cudaStreamSynchronize(stream);
    for (cudaEvent_t event : {arrived, delivered, produced, downloaded})
      cudaEventDestroy(event);
    for (cudaStream_t stream : {ops, in, out})
      cudaStreamDestroy(stream);
    cudaFreeHost(up);
  }
  Machinery(const Machinery&) = delete;
  Machinery& operator=(const Machinery&) = delete;

  template <Flaw F>
  void prefetch(const Numbers& numbers) {
    if constexpr (F != Flaw::refilled_too_early) cudaEventSynchronize(arrived);
    std::copy(numbers.begin(), numbers.end(), up);
    if constexpr (F != Flaw::overtaken) cudaStreamWaitEvent(in, delivered, 0);
    cudaMemcpyAsync(stage.device(), up, kBytes, cudaMemcpyHostToDevice, in);
    cudaEventRecord(arrived, in);
  }
  template <Flaw F>
  void deliver() {
    if constexpr (F != Flaw::delivered_too_early) cudaStreamWaitEvent(ops, arrived, 0);
    cudaMemcpyAsync(x.device(), stage.device(), kBytes, cudaMemcpyDeviceToDevice, ops);
    cudaEventRecord(delivered, ops);
  }
  template <Flaw F>
  void begin_download() {
    cudaEventRecord(produced, ops);
    if constexpr (F != Flaw::produced_too_late) cudaStreamWaitEvent(out, produced, 0);
    cudaMemcpyAsync(down, y.device(), kBytes, cudaMemcpyDeviceToHost, out);
    cudaEventRecord(downloaded, out);
    if constexpr (F != Flaw::no_fence) cudaStreamWaitEvent(ops, downloaded, 0);
  }
  void run(float* to, const float* from, float value) {
    launch<add>({.grid = 1, .block = 128, .stream = ops}, to, from, value);
  }

  cudaStream_t ops = nullptr, in = nullptr, out = nullptr;
  cudaEvent_t arrived = nullptr, delivered = nullptr, produced = nullptr, downloaded = nullptr;
  float *up = nullptr, *down = nullptr;
  DeviceArray<float> stage{kCount, 0.0f}, x{kCount, 0.0f}, y{kCount, 0.0f};
};

// Each batch comes while the one before is computed on, and its result is saved while the next is computed.
template <Flaw F>
Numbers batches() {
  Machinery m;
  Numbers results;
  m.prefetch<F>(some_numbers(kCount, 0));
  for (int batch = 0; batch < kBatches; ++batch) {
    m.deliver<F>();
    m.run(m.y.device(), m.x.device(), 1);
    if (batch + 1 < kBatches) {
      m.prefetch<F>(some_numbers(kCount, batch + 1));
      // Again, now and then: the host waits for the first, and no op has run yet.
      if (batch % 2 == 1) m.prefetch<F>(some_numbers(kCount, batch + 1));
    }
    m.begin_download<F>();
    m.run(m.y.device(), m.y.device(), 5);              // the optimizer
    if (batch % 2 == 1) cudaStreamSynchronize(m.ops);  // a loss is read, now and then
    if constexpr (F != Flaw::not_awaited) cudaEventSynchronize(m.downloaded);
    results.insert(results.end(), m.down, m.down + kCount);
  }
  return results;
}

Numbers expected_batches() {
  Numbers expected;
  for (int batch = 0; batch < kBatches; ++batch) {
    for (float value : some_numbers(kCount, batch))
      expected.push_back(value + 1);
  }
  return expected;
}

template <Flaw F>
Broken broken(const char* fault) {
  return {fault, {kWrongNumbers}, batches<F>, batches<Flaw::none>, expected_batches()};
}

TEST_CASE("cuda faults: copies beside ops") {
  check_all({
      broken<Flaw::refilled_too_early>("pinned memory is filled again before it was copied"),
      broken<Flaw::overtaken>("the next batch comes before the last one was delivered"),
      broken<Flaw::delivered_too_early>("a batch is delivered before it has come"),
      broken<Flaw::produced_too_late>("a download begins before the ops have written"),
      broken<Flaw::no_fence>("ops change what is on its way to the host"),
      broken<Flaw::not_awaited>("the host reads what is on its way"),
  });
}

// Three steps through one graph, each with a number of its own.
template <bool kUpdated>
Numbers replayed() {
  Machinery m;
  cudaGraphExec_t exec = nullptr;
  for (int step = 0; step < 3; ++step) {
    cudaStreamBeginCapture(m.ops, cudaStreamCaptureModeThreadLocal);
    m.run(m.y.device(), m.y.device(), static_cast<float>(step + 1));
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(m.ops, &graph);
    cudaGraphExecUpdateResultInfo info;
    if (exec == nullptr) {
      cudaGraphInstantiate(&exec, graph, 0);
    } else if (kUpdated) {
      cudaGraphExecUpdate(exec, graph, &info);
    }
    cudaGraphDestroy(graph);
    cudaGraphLaunch(exec, m.ops);
  }
  cudaStreamSynchronize(m.ops);
  cudaGraphExecDestroy(exec);
  m.y.download();
  return m.y.host;
}

TEST_CASE("cuda faults: a graph is started with the numbers of the step before") {
  check_all({{"no update", {kWrongNumbers}, replayed<false>, replayed<true>, Numbers(kCount, 6.0f)}});
}

TEST_CASE("cuda faults: scratch grows in the midst of a capture") {
  Machinery m;
  void* scratch = nullptr;
  cudaStreamBeginCapture(m.ops, cudaStreamCaptureModeThreadLocal);
  expect_fault([&] { cudaMalloc(&scratch, 4); }, {"cudaMalloc", "captured into a graph"});
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(m.ops, &graph);
  cudaGraphDestroy(graph);
}

}  // namespace
}  // namespace vitrail::cuda
