#pragma once
// The way to an NVIDIA GPU. Declared apart from the CUDA sources, so that a build without CUDA links
// kernels/cuda_absent.cpp in their place.

#include <memory>

#include "kernels/backend.h"

namespace vitrail::cuda {

// gpu: its number, from 0. Throws Error when this build or machine has no CUDA, or not so many GPUs.
std::unique_ptr<Backend> make_cuda_backend(int gpu);

}  // namespace vitrail::cuda
