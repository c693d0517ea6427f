#include "tests/cuda_emulation/signal_scope.h"

#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/memory.h"

namespace cuda_emulation {
namespace {

// The fault is the running thread's own, so leaving the handler for good is safe: nothing was interrupted but
// the kernel.
void handle(int signal, siginfo_t* info, void*) {
  if (in_kernel()) abandon_for_signal(signal, info->si_addr);
  std::signal(signal, SIG_DFL);  // the instruction is tried again, and ends the program
}

}  // namespace

void SignalScope::begin() {
  constexpr std::size_t kBytes = 64 * 1024;
  stack_.resize(kBytes);
  const stack_t stack = {.ss_sp = stack_.data(), .ss_flags = 0, .ss_size = stack_.size()};
  sigaltstack(&stack, &stack_before_);
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int i = 0; i < 3; ++i)
    sigaction(kSignals[i], &action, &before_[i]);
}

void SignalScope::end() {
  for (int i = 0; i < 3; ++i)
    sigaction(kSignals[i], &before_[i], nullptr);
  sigaltstack(&stack_before_, nullptr);
}

}  // namespace cuda_emulation
