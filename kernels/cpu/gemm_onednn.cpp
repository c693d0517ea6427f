#include <oneapi/dnnl/dnnl.h>

#include <cassert>

#include "kernels/cpu/gemm.h"
#include "kernels/cpu/onednn_call.h"

namespace vitrail::cpu {

bool have_onednn() {
  return true;
}

void multiply_onednn(const Product<float>& product) {
  const OnednnCall call;
  [[maybe_unused]] const dnnl_status_t status =
      dnnl_sgemm(product.a_transposed ? 'T' : 'N', product.b_transposed ? 'T' : 'N', product.m, product.n,
                 product.k, product.alpha, product.a, product.a_stride, product.b, product.b_stride,
                 product.beta, product.c, product.c_stride);
  assert(status == dnnl_success);
}

}  // namespace vitrail::cpu
