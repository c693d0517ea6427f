#pragma once
// What the ops of one backend share: the stream they run in, matrix products, and memory for the moment.

#include <cuda_runtime_api.h>

#include <cstddef>
#include <memory>
#include <string>

namespace vitrail::cuda {

// Throws Error, which says what was done, unless CUDA succeeded.
void require(cudaError_t status, const char* what);

// Chooses the GPU for the calls of this thread, as CUDA has it.
void use_gpu(int gpu);

// Memory that grows when more is asked for. Growing waits for the device, so it happens in the first step
// only.
class Scratch {
 public:
  Scratch() = default;
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  void* of(std::size_t bytes);
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

// More memory for the moment was asked for while ops are recorded, when CUDA cannot give any.
struct NoMemoryYet {};

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
  float* scratch(std::size_t bytes) { return static_cast<float*>(of(scratch_, bytes)); }
  float* sum_scratch(std::size_t bytes) { return static_cast<float*>(of(sum_scratch_, bytes)); }
  double* double_scratch(std::size_t bytes) { return static_cast<double*>(of(sum_scratch_, bytes)); }

  void set_recording(bool on) { recording_ = on; }  // then scratch that must grow throws NoMemoryYet

 private:
  void* of(Scratch& scratch, std::size_t bytes) const {
    if (recording_ && bytes > scratch.bytes()) throw NoMemoryYet{};
    return scratch.of(bytes);
  }

  std::string device_name_;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<Gemm> gemm_;
  Scratch scratch_, sum_scratch_;
  bool recording_ = false;
};

}  // namespace vitrail::cuda
