#pragma once
// The way to an NVIDIA GPU. Declared apart from the CUDA sources, so that a build without CUDA links
// kernels/cuda_absent.cpp in their place.

#include <memory>

#include "kernels/backend.h"

namespace vitrail::cuda {

// Throws Error when this build or machine has no CUDA.
std::unique_ptr<Backend> make_cuda_backend(const BackendOptions& options);

}  // namespace vitrail::cuda
