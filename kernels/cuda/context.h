#pragma once
// What the ops of one backend share: the stream they run in, matrix products, and memory for the moment.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

namespace vitrail::cuda {

// Throws Error, which says what was done, unless CUDA succeeded.
void require(cudaError_t status, const char* what);

// Memory that grows when more is asked for. Growing waits for the device, so it happens in the first step
// only.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* of(std::size_t bytes);

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

class Gemm;

class Context {
 public:
  explicit Context(int device);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  cudaStream_t stream() const { return stream_; }
  Gemm& gemm() { return *gemm_; }
  const std::string& device_name() const { return device_name_; }

  // Each valid until the next call of the same name; what runs in the stream in between may use both.
  float* scratch(std::size_t bytes) { return static_cast<float*>(scratch_.of(bytes)); }
  float* sum_scratch(std::size_t bytes) { return static_cast<float*>(sum_scratch_.of(bytes)); }
  double* double_scratch(std::size_t bytes) { return static_cast<double*>(sum_scratch_.of(bytes)); }

 private:
  std::string device_name_;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<Gemm> gemm_;
  Scratch scratch_, sum_scratch_;
};

}  // namespace vitrail::cuda
