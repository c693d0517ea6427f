#pragma once
// Copies from device memory to shared memory that their thread does not wait for (PTX ISA: cp.async). They
// are as late as they may be: the 16 bytes are NaN until the thread waits.

#include <cstddef>

#include "tests/cuda_emulation/fault.h"

namespace cuda_emulation {

// Of the thread that runs.
void start_copy(void* shared, const void* global, int bytes, const Site& site);
void commit_copies();            // those since the last commit become a group
void wait_for_copies(int left);  // until at most so many groups are on their way

bool is_on_its_way(const void* shared);  // somebody's copy to these 16 bytes

// By grid.cpp: begins a block; ends a thread, which must have waited for all of its copies.
void begin_copies(std::size_t threads);
void end_copies();

}  // namespace cuda_emulation
