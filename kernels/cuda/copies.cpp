#include "kernels/cuda/copies.h"

#include <cstring>
#include <functional>

namespace vitrail::cuda {

Copies::Stage::Stage(std::size_t bytes_in) : bytes(bytes_in) {
  require(cudaHostAlloc(&pinned, bytes, cudaHostAllocDefault), "pinned memory for what is copied ahead");
  if (cudaMalloc(&device, bytes) == cudaSuccess) return;
  cudaFreeHost(pinned);
  require(cudaErrorMemoryAllocation, "memory for what is copied ahead");
}

Copies::Stage::~Stage() {
  cudaFree(device);  // waits for the device
  cudaFreeHost(pinned);
}

Copies::Copies(cudaStream_t ops) : ops_(ops) {
  require(cudaStreamCreateWithFlags(&in_, cudaStreamNonBlocking), "creating a stream for copies");
  require(cudaStreamCreateWithFlags(&out_, cudaStreamNonBlocking), "creating a stream for copies");
}

Copies::~Copies() {
  stages_.clear();
  cudaStreamDestroy(in_);
  cudaStreamDestroy(out_);
}

Copies::Stage& Copies::stage_for(const void* to, std::size_t bytes) {
  const auto found = stages_.find(to);
  if (found != stages_.end() && found->second.bytes >= bytes) return found->second;
  if (found != stages_.end()) stages_.erase(found);
  return stages_.try_emplace(to, bytes).first->second;
}

void Copies::prefetch(void* to, const void* from, std::size_t bytes) {
  Stage& stage = stage_for(to, bytes);
  stage.arrived.await();  // what was there before has been read
  std::memcpy(stage.pinned, from, bytes);
  stage.delivered.hold(in_);
  require(cudaMemcpyAsync(stage.device, stage.pinned, bytes, cudaMemcpyHostToDevice, in_),
          "copying ahead to the GPU");
  stage.arrived.record(in_);
}

void Copies::deliver(void* to, std::size_t bytes) {
  Stage& stage = stages_.at(to);
  stage.arrived.hold(ops_);
  require(cudaMemcpyAsync(to, stage.device, bytes, cudaMemcpyDeviceToDevice, ops_),
          "taking what was copied ahead");
  stage.delivered.record(ops_);
}

void Copies::forget(const std::byte* data, std::size_t bytes) {
  std::erase_if(stages_, [&](const auto& entry) {
    const auto* const to = static_cast<const std::byte*>(entry.first);
    return !std::less<>{}(to, data) && std::less<>{}(to, data + bytes);
  });
}

void Copies::begin_download(void* to, const void* from, std::size_t bytes) {
  produced_.record(ops_);
  produced_.hold(out_);
  require(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, out_), "copying from the GPU");
  downloaded_.record(out_);
}

void Copies::fence_downloads() {
  downloaded_.hold(ops_);
}

void Copies::await_downloads() const {
  downloaded_.await();
}

}  // namespace vitrail::cuda
