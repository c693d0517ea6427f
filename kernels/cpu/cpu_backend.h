#pragma once
// The CPU as a Backend: one pool of threads, one instruction set, chosen when it is made.

#include <memory>

#include "kernels/backend.h"

namespace vitrail::cpu {

// Throws Error when the options name something that this build or this processor does not have.
std::unique_ptr<Backend> make_cpu_backend(const BackendOptions& options);

}  // namespace vitrail::cpu
