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

void multiply_onednn(const Int8Product&) {
  assert(false && "this build has no oneDNN");
}

int onednn_int8_limit() {
  return 127;
}

}  // namespace vitrail::cpu
