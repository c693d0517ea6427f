#pragma once
// What the emulation throws when CUDA code does what a GPU would do silently, or not at all.

#include <stdexcept>
#include <string>

namespace cuda_emulation {

// The text names kernel, block and thread where there is one, and file and line where they are known.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A place in the source: `__syncthreads()` and its like carry it as default arguments.
struct Site {
  const char* file = "";
  int line = 0;
};

std::string to_string(const Site& site);

// Inside a kernel: ends the grid, and whoever ran it gets a Fault that names the thread. Outside: throws.
[[noreturn]] void fail(const std::string& what, const Site& site = {});

}  // namespace cuda_emulation
