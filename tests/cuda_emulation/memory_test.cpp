// Device memory, streams, events and graphs of the emulation itself.

#include <cuda_launch.h>
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "tests/cuda_emulation/expect_fault.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using cuda_emulation::expect_fault;

__global__ void add(float* y, const float* x, int n, float value) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] = x[i] + value;
}

__global__ void copy4(float4* y, const float* x) {
  y[threadIdx.x] = reinterpret_cast<const float4*>(x)[threadIdx.x];
}

__global__ void divide(int* y, int by) {
  y[threadIdx.x] = 7 / (static_cast<int>(threadIdx.x) - by);
}

TEST_CASE("emulation: accesses out of bounds are named") {
  DeviceArray<float> x(1024, 1), y(1024);
  expect_fault([&] { launch<add>({.grid = 5, .block = 256}, y.device(), x.device(), 1025, 1.0f); },
               {"kernel add, block (4, 0, 0), thread (0, 0, 0)", "out of bounds"});
  DeviceArray<float> a(100, 1), b(100);  // 400 bytes: guards up to the next page
  expect_fault([&] { launch<add>({.grid = 1, .block = 128}, b.device(), a.device(), 101, 1.0f); },
               {"add wrote behind an allocation of 400 bytes"});
  expect_fault([&] { launch<add>({.grid = 1, .block = 128}, b.device() - 1, a.device(), 1, 1.0f); },
               {"add wrote before an allocation of 400 bytes"});
  launch<add>({.grid = 1, .block = 128}, a.device(), b.device(), 100, 0.0f);
  a.download();
  CHECK(a.host[99] == 2);  // and life goes on after a fault
  DeviceArray<int> whole(32);
  expect_fault([&] { launch<divide>({.grid = 1, .block = 32}, whole.device(), 9); },
               {"kernel divide, block (0, 0, 0), thread (9, 0, 0)", "divided by zero"});
}

TEST_CASE("emulation: a misaligned vector load is named with its line") {
  DeviceArray<float> x(160, 1);
  DeviceArray<float4> y(32);
  launch<copy4>({.grid = 1, .block = 32}, y.device(), x.device() + 4);
  y.download();
  CHECK(y.host[31].w == 1);
  expect_fault([&] { launch<copy4>({.grid = 1, .block = 32}, y.device(), x.device() + 2); },
               {"kernel copy4", "misaligned access", "float4", "16", "memory_test.cpp:"});
}

TEST_CASE("emulation: fresh memory is NaN") {
  DeviceArray<float> x(10);
  x.download();
  for (float value : x.host)
    CHECK(value != value);
}

TEST_CASE("emulation: copies are checked against the allocations") {
  DeviceArray<float> x(10, 1);
  std::vector<float> host(20);
  expect_fault([&] { cudaMemcpy(host.data(), x.device(), 44, cudaMemcpyDeviceToHost); },
               {"44 bytes", "the last 4 lie behind"});
  expect_fault([&] { cudaMemcpy(x.device(), x.device(), 4, cudaMemcpyHostToDevice); },
               {"source of a copy", "a pointer to device memory"});
  expect_fault([&] { cudaMemcpy(host.data(), host.data(), 4, cudaMemcpyDeviceToHost); },
               {"source of a copy", "not one to device memory"});
  expect_fault([&] { cudaFree(x.device() + 1); }, {"cudaFree"});
  void* much = nullptr;
  CHECK(cudaMalloc(&much, std::size_t{1} << 60) == cudaErrorMemoryAllocation);
}

TEST_CASE("emulation: the host cannot touch device memory") {
  const DeviceArray<float> x(10, 1);
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    volatile float value = *x.device();
    _exit(static_cast<int>(value));
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
}

struct Streams {
  Streams() {
    cudaStreamCreate(&copies);
    cudaStreamCreate(&kernels);
    cudaEventCreate(&event);
    void* memory = nullptr;
    cudaHostAlloc(&memory, 64 * sizeof(float), 0);
    pinned = static_cast<float*>(memory);
    for (int i = 0; i < 64; ++i)
      pinned[i] = 3;
  }
  ~Streams() {
    cudaEventDestroy(event);
    cudaStreamDestroy(copies);
    cudaStreamDestroy(kernels);
    cudaFreeHost(pinned);
  }
  cudaStream_t copies = nullptr, kernels = nullptr;
  cudaEvent_t event = nullptr;
  float* pinned = nullptr;
};

// What a kernel sees of a copy in another stream, with and without the wait.
float copied_then_added(bool wait) {
  cuda_emulation::set_seed(0);
  Streams s;
  DeviceArray<float> x(64, 1), y(64);
  cudaMemcpyAsync(x.device(), s.pinned, x.bytes(), cudaMemcpyHostToDevice, s.copies);
  cudaEventRecord(s.event, s.copies);
  if (wait) cudaStreamWaitEvent(s.kernels, s.event, 0);
  launch<add>({.grid = 1, .block = 64, .stream = s.kernels}, y.device(), x.device(), 64, 1.0f);
  cudaStreamSynchronize(s.kernels);
  y.download();
  return y.host[0];
}

TEST_CASE("emulation: copies are late, so a missing wait shows") {
  CHECK(copied_then_added(true) == 4);
  CHECK(copied_then_added(false) == 2);
}

TEST_CASE("emulation: pinned memory is read when the copy happens, other memory at once") {
  cuda_emulation::set_seed(0);
  Streams s;
  DeviceArray<float> x(64), y(64);
  std::vector<float> plain(64, 5);
  cudaMemcpyAsync(x.device(), s.pinned, x.bytes(), cudaMemcpyHostToDevice, s.copies);
  cudaMemcpyAsync(y.device(), plain.data(), y.bytes(), cudaMemcpyHostToDevice, s.copies);
  s.pinned[0] = 8;  // a mistake: the copy is still under way
  plain[0] = 9;     // allowed
  x.download();
  y.download();
  CHECK(x.host[0] == 8);
  CHECK(y.host[0] == 5);
}

TEST_CASE("emulation: events") {
  cuda_emulation::set_seed(0);
  Streams s;
  DeviceArray<float> x(64, 0);
  cudaMemsetAsync(x.device(), 0, x.bytes(), s.kernels);
  cudaEventRecord(s.event, s.kernels);
  launch<add>({.grid = 1, .block = 64, .stream = s.kernels}, x.device(), x.device(), 64, 1.0f);
  CHECK(cudaEventQuery(s.event) == cudaErrorNotReady);
  cudaEventSynchronize(s.event);
  CHECK(cudaEventQuery(s.event) == cudaSuccess);
  CHECK(cudaStreamQuery(s.kernels) == cudaSuccess);
}

TEST_CASE("emulation: a graph holds what was captured, of two streams") {
  Streams s;
  DeviceArray<float> x(64, 0);
  cudaStreamBeginCapture(s.kernels, cudaStreamCaptureModeThreadLocal);
  launch<add>({.grid = 1, .block = 64, .stream = s.kernels}, x.device(), x.device(), 64, 1.0f);
  cudaEventRecord(s.event, s.kernels);
  cudaStreamWaitEvent(s.copies, s.event, 0);
  launch<add>({.grid = 1, .block = 64, .stream = s.copies}, x.device(), x.device(), 64, 10.0f);
  expect_fault([&] { cudaStreamSynchronize(s.kernels); }, {"captured"});
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(s.kernels, &graph);
  cudaGraphExec_t exec = nullptr;
  cudaGraphInstantiate(&exec, graph, 0);
  cudaGraphDestroy(graph);
  x.download();
  CHECK(x.host[0] == 0);  // nothing ran yet
  cudaGraphLaunch(exec, s.kernels);
  cudaGraphLaunch(exec, s.kernels);
  cudaStreamSynchronize(s.kernels);
  x.download();
  CHECK(x.host[0] == 22);
  cudaGraphExecDestroy(exec);
}

}  // namespace
}  // namespace vitrail::cuda
