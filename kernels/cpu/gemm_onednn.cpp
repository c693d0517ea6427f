#include <oneapi/dnnl/dnnl.h>
#include <signal.h>

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

// The AVX-512 sgemm of oneDNN 2.6 works with the stack pointer pointing elsewhere, so that the frame of a
// signal handler would be written into tensors or the heap: one Ctrl-C in three ended a training run that
// way.
class SignalsHeldBack {
 public:
  SignalsHeldBack() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  SignalsHeldBack(const SignalsHeldBack&) = delete;
  SignalsHeldBack& operator=(const SignalsHeldBack&) = delete;
  ~SignalsHeldBack() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace

bool have_onednn() {
  return true;
}

void multiply_onednn(const Product<float>& product) {
  use_this_thread_only();
  const SignalsHeldBack held_back;
  [[maybe_unused]] const dnnl_status_t status =
      dnnl_sgemm(product.a_transposed ? 'T' : 'N', product.b_transposed ? 'T' : 'N', product.m, product.n,
                 product.k, product.alpha, product.a, product.a_stride, product.b, product.b_stride,
                 product.beta, product.c, product.c_stride);
  assert(status == dnnl_success);
}

}  // namespace vitrail::cpu
