#include "kernels/cuda_backend.h"
#include "kernels/error.h"

namespace vitrail::cuda {

std::unique_ptr<Backend> make_cuda_backend(int) {
  throw Error(
      "device cuda: this build of vitrail has no CUDA; build it with -DVITRAIL_CUDA=ON where there is a CUDA "
      "toolkit, or use device cpu");
}

}  // namespace vitrail::cuda
