#include "kernels/cuda_backend.h"

#include <string>

#include "kernels/cuda/copies.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/recorder.h"
#include "kernels/cuda/timeline.h"
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
            .bf16 = "cuBLASLt",
            .fast_bf16 = true,
            .threads = 1,
            .own_memory = true};
  }

  void zero(Out view) override {
    require(cudaMemsetAsync(view.data, 0, bytes_of(view), stream()), "zeroing a tensor");
  }
  void copy(Out to, In from) override {
    require_bytes("copy", to, bytes_of(from));
    require(cudaMemcpyAsync(to.data, from.data, bytes_of(from), cudaMemcpyDeviceToDevice, stream()),
            "copying a tensor");
  }
  void upload(Out to, const void* from, std::size_t bytes) override {
    require_bytes("upload", to, bytes);
    require(cudaMemcpyAsync(to.data, from, bytes, cudaMemcpyHostToDevice, stream()), "copying to the GPU");
    require(cudaStreamSynchronize(stream()), "copying to the GPU");
  }
  void download(void* to, In from, std::size_t bytes) const override {
    require_bytes("download", from, bytes);
    require(cudaMemcpyAsync(to, from.data, bytes, cudaMemcpyDeviceToHost, stream()), "copying from the GPU");
    require(cudaStreamSynchronize(stream()), "copying from the GPU");
  }
  const std::byte* host_bytes(In) const override { return nullptr; }
  std::optional<std::uint64_t> free_memory() const override {
    use_gpu(gpu_);
    std::size_t free = 0, total = 0;
    require(cudaMemGetInfo(&free, &total), "asking for the GPU's free memory");
    return free;
  }

  void prefetch(Out to, const void* from, std::size_t bytes) override {
    require_bytes("prefetch", to, bytes);
    use_gpu(gpu_);
    copies_.prefetch(to.data, from, bytes);
  }
  void deliver(Out to, const void*, std::size_t bytes) override {
    require_bytes("deliver", to, bytes);
    use_gpu(gpu_);
    copies_.deliver(to.data, bytes);
  }
  void begin_download(void* to, In from, std::size_t bytes) override {
    require_bytes("download", from, bytes);
    use_gpu(gpu_);
    copies_.begin_download(to, from.data, bytes);
  }
  void fence_downloads() override { copies_.fence_downloads(); }
  void await_downloads() const override {
    use_gpu(gpu_);
    copies_.await_downloads();
  }
  void page_lock(std::byte* data, std::size_t bytes) override {
    use_gpu(gpu_);
    require(cudaHostRegister(data, bytes, cudaHostRegisterDefault), "pinning memory of the host");
  }
  void page_unlock(std::byte* data) noexcept override { cudaHostUnregister(data); }

  void run_together(const std::function<void()>& ops) override {
    use_gpu(gpu_);
    if (profiling()) return ops();  // the times of each
    recorder_.run(context_, ops);
  }

 private:
  // Every thread that comes by says first which GPU it means.
  cudaStream_t stream() const {
    use_gpu(gpu_);
    return context_.stream();
  }

  void mark() override { timeline_.mark(stream()); }
  std::vector<double> take_marks() override { return timeline_.take(); }

  std::byte* allocate(std::size_t bytes) override {
    use_gpu(gpu_);
    void* data = nullptr;
    const std::string what = "allocating " + std::to_string(bytes) + " bytes";
    require(cudaMalloc(&data, bytes), what.c_str());
    require(cudaMemsetAsync(data, 0, bytes, stream()), "zeroing memory");
    return static_cast<std::byte*>(data);
  }
  // cudaFree waits for the device first.
  void deallocate(std::byte* data, std::size_t bytes) noexcept override {
    copies_.forget(data, bytes);
    cudaFree(data);
  }

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
    use_gpu(gpu_);                      \
    dispatch(op);                       \
  }
  VITRAIL_EACH_OP(VITRAIL_OP)
#undef VITRAIL_OP

  const int gpu_;
  Context context_;
  Copies copies_{context_.stream()};
  Timeline timeline_;
  Recorder recorder_;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(int gpu) {
  return std::make_unique<CudaBackend>(gpu);
}

}  // namespace vitrail::cuda
