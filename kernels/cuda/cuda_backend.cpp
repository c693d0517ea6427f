#include "kernels/cuda_backend.h"

#include <string>

#include "kernels/cuda/ops.h"
#include "kernels/error.h"

namespace vitrail::cuda {
namespace {

std::size_t bytes_of(In view) {
  return static_cast<std::size_t>(view.shape.elements()) * size_of(view.dtype);
}

void require_bytes(const char* what, In view, std::size_t bytes) {
  if (bytes_of(view) == bytes) return;
  throw Error(std::string(what) + ": the tensor " + to_string(view.shape) + " has " +
              std::to_string(bytes_of(view)) + " bytes, the other side " + std::to_string(bytes));
}

// Of an op's main operand.
template <class Op>
DType dtype_of(const Op& op) {
  if constexpr (requires { op.x; }) {
    return op.x.dtype;
  } else if constexpr (requires { op.pre; }) {
    return op.pre.dtype;
  } else if constexpr (requires { op.dy; }) {
    return op.dy.dtype;
  } else if constexpr (requires { op.dx; }) {
    return op.dx.dtype;
  } else if constexpr (requires { op.qkv; }) {
    return op.qkv.dtype;
  } else if constexpr (requires { op.images; }) {
    return op.images.dtype;
  } else if constexpr (requires { op.logits; }) {
    return op.logits.dtype;
  } else if constexpr (requires { op.grad; }) {
    return op.grad.dtype;
  } else {
    return op.a.dtype;
  }
}

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(int gpu) : gpu_(gpu), context_(gpu) {}

  BackendInfo info() const override {
    return {.device = gpu_ == 0 ? "cuda" : "cuda:" + std::to_string(gpu_),
            .name = context_.device_name(),
            .isa = "CUDA",
            .gemm = "cuBLASLt",
            .threads = 1};
  }

  void zero(Out view) override {
    require(cudaMemsetAsync(view.data, 0, bytes_of(view), context_.stream()), "zeroing a tensor");
  }
  void copy(Out to, In from) override {
    require_bytes("copy", to, bytes_of(from));
    require(cudaMemcpyAsync(to.data, from.data, bytes_of(from), cudaMemcpyDeviceToDevice, context_.stream()),
            "copying a tensor");
  }
  void upload(Out to, const void* from, std::size_t bytes) override {
    require_bytes("upload", to, bytes);
    require(cudaMemcpyAsync(to.data, from, bytes, cudaMemcpyHostToDevice, context_.stream()),
            "copying to the GPU");
    require(cudaStreamSynchronize(context_.stream()), "copying to the GPU");
  }
  void download(void* to, In from, std::size_t bytes) const override {
    require_bytes("download", from, bytes);
    require(cudaMemcpyAsync(to, from.data, bytes, cudaMemcpyDeviceToHost, context_.stream()),
            "copying from the GPU");
    require(cudaStreamSynchronize(context_.stream()), "copying from the GPU");
  }
  const std::byte* host_bytes(In) const override { return nullptr; }

 private:
  std::byte* allocate(std::size_t bytes) override {
    void* data = nullptr;
    const std::string what = "allocating " + std::to_string(bytes) + " bytes";
    require(cudaMalloc(&data, bytes), what.c_str());
    require(cudaMemsetAsync(data, 0, bytes, context_.stream()), "zeroing memory");
    return static_cast<std::byte*>(data);
  }
  // cudaFree waits for the device first.
  void deallocate(std::byte* data, std::size_t) noexcept override { cudaFree(data); }

  [[noreturn]] static void refuse_int8() {
    throw Error("int8: the cuda backend does not compute in it; use dtype f32, or device cpu");
  }

  template <class Op>
  void dispatch(const Op& op) {
    if (dtype_of(op) == DType::f64) {
      throw Error(std::string(Op::kName) +
                  ": the cuda backend computes in f32 and bf16; f64 is not among its dtypes");
    }
    if constexpr (requires { op.quantized; }) {
      if (op.quantized.scale) refuse_int8();
    }
    cuda::execute(context_, op);
  }
  void dispatch(const QuantizeRows&) { refuse_int8(); }

#define VITRAIL_OP(Op)                  \
  void execute(const Op& op) override { \
    dispatch(op);                       \
  }
  VITRAIL_EACH_OP(VITRAIL_OP)
#undef VITRAIL_OP

  const int gpu_;
  Context context_;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int gpu) {
  return std::make_unique<CudaBackend>(gpu);
}

}  // namespace vitrail::cuda
