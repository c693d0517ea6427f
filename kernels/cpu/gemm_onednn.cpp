#include <oneapi/dnnl/dnnl.h>

#include <cassert>

#include "kernels/cpu/gemm.h"

// From libgomp, which Debian's oneDNN uses; declared here because not every compiler brings omp.h.
extern "C" void omp_set_num_threads(int threads);

namespace vitrail::cpu {
namespace {

// oneDNN must not start threads of its own inside our tasks. The setting belongs to the calling thread.
void use_this_thread_only() {
  thread_local const bool once = (omp_set_num_threads(1), true);
  static_cast<void>(once);
}

}  // namespace

bool have_onednn() {
  return true;
}

void multiply_onednn(const Product<float>& product) {
  use_this_thread_only();
  [[maybe_unused]] const dnnl_status_t status =
      dnnl_sgemm(product.a_transposed ? 'T' : 'N', product.b_transposed ? 'T' : 'N', product.m, product.n,
                 product.k, product.alpha, product.a, product.a_stride, product.b, product.b_stride,
                 product.beta, product.c, product.c_stride);
  assert(status == dnnl_success);
}

}  // namespace vitrail::cpu
