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
                 product.k, 1, product.a, product.a_stride, product.b, product.b_stride,
                 product.accumulate ? 1 : 0, product.c, product.c_stride);
  assert(status == dnnl_success);
}

void multiply_onednn(const Int8Product& product) {
  const OnednnCall call;
  const std::int32_t no_offset = 0;
  [[maybe_unused]] const dnnl_status_t status =
      dnnl_gemm_u8s8s32('N', 'T', 'F', product.m, product.n, product.k, 1, product.a, product.a_stride, 0,
                        product.b, product.b_stride, 0, 0, product.c, product.c_stride, &no_offset);
  assert(status == dnnl_success);
}

int onednn_int8_limit() {
  const dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  return (isa & dnnl_cpu_isa_avx512_core_vnni) == dnnl_cpu_isa_avx512_core_vnni ? 127 : kPairsLimit;
}

}  // namespace vitrail::cpu
