#pragma once
// How kernels are started and get shared memory. The one thing of CUDA that has two forms: this one, and the
// emulation's under the same name. Which is meant, the include path says; no source asks.

#include <cuda_runtime.h>

#include <string>
#include <tuple>
#include <type_traits>

#include "kernels/error.h"

namespace vitrail::cuda {

struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;  // dynamic; above 48 KiB the kernel is allowed them first
  cudaStream_t stream = nullptr;
};

template <auto Kernel>
void require_launched(cudaError_t status) {
  if (status == cudaSuccess) return;
  throw Error(std::string("device cuda: a kernel could not be started: ") + cudaGetErrorString(status) +
              " (" + __PRETTY_FUNCTION__ + ")");
}

template <auto Kernel, class... Parameters>
void launch_with(void (*)(Parameters...), const LaunchShape& shape,
                 std::type_identity_t<Parameters>... values) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...));
  const void* kernel = reinterpret_cast<const void*>(Kernel);
  constexpr std::size_t kFree = 48 * 1024;
  if (shape.shared_bytes > kFree) {
    require_launched<Kernel>(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                  static_cast<int>(shape.shared_bytes)));
  }
  void* arguments[] = {&values..., nullptr};
  require_launched<Kernel>(
      cudaLaunchKernel(kernel, shape.grid, shape.block, arguments, shape.shared_bytes, shape.stream));
}

// launch<kernel>({.grid = …, .block = …, .stream = …}, arguments…) puts the kernel into the stream.
template <auto Kernel, class... Arguments>
void launch(const LaunchShape& shape, const Arguments&... arguments) {
  launch_with<Kernel>(Kernel, shape, arguments...);
}

// Shared memory of a fixed size: one object of this type for each block, however often it is asked for. T is
// best a struct of the kernel's own.
template <class T>
__device__ T& static_shared() {
  static_assert(std::is_trivially_default_constructible_v<T>);
  __shared__ T memory;
  return memory;
}

// The shared memory whose size the launch gives; 16-byte aligned.
template <class T>
__device__ T* dynamic_shared() {
  extern __shared__ __align__(16) unsigned char vitrail_dynamic_shared[];
  return reinterpret_cast<T*>(vitrail_dynamic_shared);
}

}  // namespace vitrail::cuda
