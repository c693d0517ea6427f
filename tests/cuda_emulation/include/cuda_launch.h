#pragma once
// The emulated side of kernels/cuda/native/cuda_launch.h, where the words are explained.

#include <cuda_runtime.h>

#include <string>
#include <tuple>
#include <utility>

#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/stream.h"

namespace vitrail::cuda {

struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  cudaStream_t stream = nullptr;
};

// "layernorm_forward<4>"
// `pretty` is "… [with auto Kernel = vitrail::cuda::layernorm_forward<4>]".
inline std::string name_in(const std::string& pretty) {
  const std::size_t begin = pretty.find("Kernel = ") + 9;
  std::string name = pretty.substr(begin, pretty.rfind(']') - begin);
  for (const std::string noise : {"&", "vitrail::cuda::", "{anonymous}::", "(anonymous namespace)::"}) {
    for (std::size_t at; (at = name.find(noise)) != std::string::npos;)
      name.erase(at, noise.size());
  }
  return name.substr(0, name.find("; "));
}

template <auto Kernel>
const char* kernel_name() {
  static const std::string name = name_in(__PRETTY_FUNCTION__);
  return name.c_str();
}

template <auto Kernel, class... Parameters>
void launch_with(void (*)(Parameters...), const LaunchShape& shape,
                 std::type_identity_t<Parameters>... values) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...));
  cuda_emulation::launch_grid(
      kernel_name<Kernel>(), shape.grid, shape.block, shape.shared_bytes, shape.stream,
      [arguments = std::tuple<Parameters...>(values...)] { std::apply(Kernel, arguments); });
}

template <auto Kernel, class... Arguments>
void launch(const LaunchShape& shape, const Arguments&... arguments) {
  launch_with<Kernel>(Kernel, shape, arguments...);
}

template <class T>
T& static_shared() {
  static_assert(std::is_trivially_default_constructible_v<T>);
  static const int number = cuda_emulation::next_static_shared_number();
  return *reinterpret_cast<T*>(cuda_emulation::static_shared_memory(number, sizeof(T), alignof(T)));
}

template <class T>
T* dynamic_shared() {
  static_assert(alignof(T) <= 16);
  return reinterpret_cast<T*>(cuda_emulation::dynamic_shared_memory());
}

}  // namespace vitrail::cuda
