#pragma once
// Host floats to and from device tensors of any dtype that is computed in.

#include <span>
#include <vector>

#include "kernels/backend.h"

namespace vitrail {

inline void upload_floats(Backend& backend, Out to, std::span<const float> from) {
  if (to.dtype == DType::f32) return backend.upload(to, from.data(), from.size_bytes());
  const std::vector<double> wide(from.begin(), from.end());
  backend.upload(to, wide.data(), wide.size() * sizeof(double));
}

// Devices with memory of their own have no images wider than f32.
inline void prefetch_floats(Backend& backend, Out to, std::span<const float> from) {
  if (to.dtype == DType::f32) backend.prefetch(to, from.data(), from.size_bytes());
}
inline void deliver_floats(Backend& backend, Out to, std::span<const float> from) {
  if (to.dtype != DType::f32) return upload_floats(backend, to, from);
  backend.deliver(to, from.data(), from.size_bytes());
}

inline void download_floats(const Backend& backend, std::span<float> to, In from) {
  if (from.dtype == DType::f32) return backend.download(to.data(), from, to.size_bytes());
  std::vector<double> wide(to.size());
  backend.download(wide.data(), from, wide.size() * sizeof(double));
  for (std::size_t i = 0; i < to.size(); ++i)
    to[i] = static_cast<float>(wide[i]);
}

}  // namespace vitrail
