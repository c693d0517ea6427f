#pragma once
// Whether the cuda device is the host emulation: its free memory is counted to the byte, a driver's is not.

#include "tests/support/kernels_op_run.h"

namespace vitrail::test {

inline bool cuda_is_emulated() {
  return cuda_backend()->info().name.starts_with("host emulation");
}

}  // namespace vitrail::test
