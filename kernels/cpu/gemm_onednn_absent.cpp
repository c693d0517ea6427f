// Linked in place of gemm_onednn.cpp in a build without oneDNN.
#include <cassert>

#include "kernels/cpu/gemm.h"

namespace vitrail::cpu {

bool have_onednn() {
  return false;
}

void multiply_onednn(const Product<float>&) {
  assert(false && "this build has no oneDNN");
}

void multiply_onednn(const Bf16Product&) {
  assert(false && "this build has no oneDNN");
}

}  // namespace vitrail::cpu
