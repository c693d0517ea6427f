#pragma once
// Wrong accesses inside kernels as faults of the emulation.

#include <csignal>
#include <cstddef>
#include <vector>

namespace cuda_emulation {

// Between begin and end SIGSEGV, SIGBUS and SIGFPE of an emulated thread end its grid (they end the program
// otherwise). Handlers of others are put back at the end.
class SignalScope {
 public:
  void begin();
  void end();

 private:
  static constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};
  struct sigaction before_[3] = {};
  stack_t stack_before_ = {};
  std::vector<std::byte> stack_;
};

}  // namespace cuda_emulation
