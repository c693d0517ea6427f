#pragma once
// One lock for the whole emulated device: grids run one at a time, whoever asks for them.

#include <mutex>

namespace cuda_emulation {

std::recursive_mutex& device_lock();

}  // namespace cuda_emulation
