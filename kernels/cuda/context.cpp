#include "kernels/cuda/context.h"

#include "kernels/cuda/gemm.h"
#include "kernels/error.h"

namespace vitrail::cuda {

void require(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw Error(std::string("device cuda: ") + what + ": " + cudaGetErrorString(status));
}

void use_gpu(int gpu) {
  thread_local int current = -1;
  if (gpu == current) return;
  require(cudaSetDevice(gpu), "choosing the GPU");
  current = gpu;
}

Scratch::~Scratch() {
  cudaFree(data_);
}

void* Scratch::of(std::size_t bytes) {
  if (bytes <= bytes_) return data_;
  require(cudaFree(data_), "freeing memory for the moment");
  data_ = nullptr;
  bytes_ = 0;
  const std::string what = "memory for the moment (" + std::to_string(bytes) + " bytes)";
  require(cudaMalloc(&data_, bytes), what.c_str());
  bytes_ = bytes;
  return data_;
}

Context::Context(int device) {
  int count = 0;
  require(cudaGetDeviceCount(&count), "looking for a GPU (is there one, and the NVIDIA driver?)");
  if (device >= count) {
    throw Error("device cuda: GPU number " + std::to_string(device) + " of " + std::to_string(count));
  }
  use_gpu(device);
  cudaDeviceProp properties;
  require(cudaGetDeviceProperties(&properties, device), "asking for the GPU's properties");
  constexpr int kLeastMajor = 8;  // sm_80: what the kernels are compiled for
  if (properties.major < kLeastMajor) {
    throw Error(std::string("device cuda: ") + properties.name + " has compute capability " +
                std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                "; expected 8.0 (A100) or later");
  }
  device_name_ = properties.name;
  require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating a stream");
  gemm_ = std::make_unique<Gemm>(stream_);
}

Context::~Context() {
  gemm_.reset();
  cudaStreamDestroy(stream_);
}

}  // namespace vitrail::cuda
