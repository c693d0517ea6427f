// The rules of graphs that an engine can break, and of threads that choose a GPU.

#include <cuda_launch.h>
#include <doctest/doctest.h>

#include <thread>

#include "tests/cuda_emulation/expect_fault.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;
using cuda_emulation::expect_fault;

__global__ void add(float* x, float value) {
  x[threadIdx.x] += value;
}

struct Stream {
  Stream() { cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking); }
  ~Stream() { cudaStreamDestroy(stream); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // A graph of what `work` puts into the stream.
  template <class Work>
  cudaGraph_t captured(const Work& work, cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    cudaStreamBeginCapture(stream, mode);
    work();
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(stream, &graph);
    return graph;
  }

  cudaStream_t stream = nullptr;
};

TEST_CASE("emulation: a graph takes other numbers, but no other kinds or counts of nodes") {
  Stream s;
  DeviceArray<float> x(1, 0.0f);
  const auto add_value = [&](float value) {
    launch<add>({.grid = 1, .block = 1, .stream = s.stream}, x.device(), value);
  };
  const cudaGraph_t one = s.captured([&] { add_value(1); }), ten = s.captured([&] { add_value(10); });
  const cudaGraph_t twice = s.captured([&] {
    add_value(1);
    add_value(1);
  });
  const cudaGraph_t fill = s.captured([&] { cudaMemsetAsync(x.device(), 0, x.bytes(), s.stream); });
  cudaGraphExec_t exec = nullptr;
  cudaGraphInstantiate(&exec, one, 0);
  cudaGraphLaunch(exec, s.stream);
  cudaGraphExecUpdateResultInfo info;
  CHECK(cudaGraphExecUpdate(exec, ten, &info) == cudaSuccess);
  cudaGraphLaunch(exec, s.stream);
  cudaStreamSynchronize(s.stream);
  x.download();
  CHECK(x.host[0] == 11);  // what was started before the update kept its number
  CHECK(cudaGraphExecUpdate(exec, twice, &info) == cudaErrorGraphExecUpdateFailure);
  CHECK(info.result == cudaGraphExecUpdateErrorTopologyChanged);
  CHECK(cudaGraphExecUpdate(exec, fill, &info) == cudaErrorGraphExecUpdateFailure);
  CHECK(info.result == cudaGraphExecUpdateErrorNodeTypeChanged);
  cudaGraphExecDestroy(exec);
  for (const cudaGraph_t graph : {one, ten, twice, fill})
    cudaGraphDestroy(graph);
}

TEST_CASE("emulation: memory is not given or taken while a stream is captured") {
  Stream s;
  void *device = nullptr, *pinned = nullptr;
  cudaMalloc(&device, 4);
  float host = 0;
  const auto refused = [&] {
    void* more = nullptr;
    expect_fault([&] { cudaMalloc(&more, 4); }, {"cudaMalloc", "captured"});
    expect_fault([&] { cudaFree(device); }, {"cudaFree", "captured"});
    expect_fault([&] { cudaHostAlloc(&more, 4, 0); }, {"cudaHostAlloc", "captured"});
    expect_fault([&] { cudaHostRegister(&host, 4, 0); }, {"cudaHostRegister", "captured"});
    expect_fault([&] { cudaStreamQuery(s.stream); }, {"cudaStreamQuery", "captured"});
  };
  cudaGraphDestroy(s.captured(refused));
  cudaGraphDestroy(s.captured(refused, cudaStreamCaptureModeGlobal));
  const auto elsewhere = [&] { std::thread([&] { cudaHostAlloc(&pinned, 4, 0); }).join(); };
  cudaGraphDestroy(s.captured(elsewhere));  // ThreadLocal: other threads may
  CHECK(cudaFreeHost(pinned) == cudaSuccess);
  cudaFree(device);
}

TEST_CASE("emulation: who began a capture ends it") {
  Stream s;
  cudaGraphDestroy(s.captured([&] {
    std::thread([&] {
      cudaGraph_t graph = nullptr;
      expect_fault([&] { cudaStreamEndCapture(s.stream, &graph); }, {"another thread"});
    }).join();
  }));
}

TEST_CASE("emulation: memory that is registered is copied later, as pinned memory is") {
  Stream s;
  DeviceArray<float> x(1, 0.0f);
  float host = 1;
  cudaHostRegister(&host, sizeof host, 0);
  cudaMemcpyAsync(x.device(), &host, sizeof host, cudaMemcpyHostToDevice, s.stream);
  host = 2;
  cudaStreamSynchronize(s.stream);
  CHECK(cudaHostUnregister(&host) == cudaSuccess);
  CHECK(cudaHostUnregister(&host) == cudaErrorHostMemoryNotRegistered);
  x.download();
  CHECK(x.host[0] == 2);
}

TEST_CASE("emulation: a thread that has not chosen the stream's GPU cannot launch there") {
  cudaSetDevice(1);
  Stream s;
  DeviceArray<float> x(1, 0.0f);
  const auto launched = [&] { launch<add>({.grid = 1, .block = 1, .stream = s.stream}, x.device(), 1.0f); };
  launched();
  std::thread([&] { expect_fault(launched, {"kernel add", "GPU 1", "GPU 0"}); }).join();
  cudaSetDevice(0);
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
}

}  // namespace
}  // namespace vitrail::cuda
