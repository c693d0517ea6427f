#pragma once
// What every call of oneDNN stands between. Included only where a build has it.

#include <signal.h>

// From libgomp, which Debian's oneDNN uses; declared here because not every compiler brings omp.h.
extern "C" void omp_set_num_threads(int threads);

namespace vitrail::cpu {

// oneDNN must not start threads of its own inside our tasks: a setting that belongs to the calling thread.
// And the AVX-512 sgemm of oneDNN 2.6 works with the stack pointer pointing elsewhere, so that the frame of a
// signal handler would be written into tensors or the heap: one Ctrl-C in three ended a training run that
// way. So signals are held back.
class OnednnCall {
 public:
  OnednnCall() {
    thread_local const bool once = (omp_set_num_threads(1), true);
    static_cast<void>(once);
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  OnednnCall(const OnednnCall&) = delete;
  OnednnCall& operator=(const OnednnCall&) = delete;
  ~OnednnCall() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

}  // namespace vitrail::cpu
