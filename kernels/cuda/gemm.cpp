#include "kernels/cuda/gemm.h"

#include <algorithm>
#include <string>

#include "kernels/cuda/context.h"
#include "kernels/error.h"

namespace vitrail::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what cuBLAS recommends for Hopper

void require(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw Error(std::string("device cuda: cuBLASLt: ") + what + ": status " + std::to_string(status));
}

std::uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return address % 16 == 0 ? 16 : address % 8 == 0 ? 8 : address % 4 == 0 ? 4 : 2;
}

cudaDataType type_of(DType dtype) {
  return dtype == DType::bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

cublasLtEpilogue_t epilogue_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::none:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Epilogue::bias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Epilogue::gelu_aux:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case Epilogue::dgelu:
      return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::bias_grad:
      return CUBLASLT_EPILOGUE_BGRADB;
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

struct Layout {
  cublasLtMatrixLayout_t handle = nullptr;
  ~Layout() { cublasLtMatrixLayoutDestroy(handle); }
  // A row-major matrix of `stride` is a column-major one of `columns` rows.
  void make(DType dtype, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
    require(cublasLtMatrixLayoutCreate(&handle, type_of(dtype), static_cast<std::uint64_t>(columns),
                                       static_cast<std::uint64_t>(rows), stride),
            "describing a matrix");
  }
};

}  // namespace

// cuBLASLt's matrices are column-major, so it is asked for dᵀ = bᵀ · aᵀ: its A is our b, its bias runs along
// our columns, and the gradient that it sums over its B's columns is that of our a's rows. Biases, their
// gradients and auxiliary matrices have D's type, as cublasLt.h wants them.
class GemmPlan {
 public:
  GemmPlan(cublasLtHandle_t handle, const Product& p, std::uint32_t alignment) {
    require(cublasLtMatmulDescCreate(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p.epilogue));
    set_types(p);
    set_pointers(p);
    a_.make(p.in, p.b_transposed ? p.n : p.k, p.b_transposed ? p.k : p.n, p.b_stride);
    b_.make(p.in, p.a_transposed ? p.k : p.m, p.a_transposed ? p.m : p.k, p.a_stride);
    d_.make(p.out, p.m, p.n, p.d_stride);
    choose(handle, alignment);
  }
  ~GemmPlan() { cublasLtMatmulDescDestroy(operation_); }
  GemmPlan(const GemmPlan&) = delete;
  GemmPlan& operator=(const GemmPlan&) = delete;

  bool exists() const { return exists_; }

  void run(cublasLtHandle_t handle, const Product& p, void* workspace, cudaStream_t stream) const {
    set_pointers(p);
    const float alpha = 1;
    const void* c = p.c ? p.c : p.d;
    require(cublasLtMatmul(handle, operation_, &alpha, p.b, a_.handle, p.a, b_.handle, &p.beta, c, d_.handle,
                           p.d, d_.handle, &algorithm_, workspace, kWorkspaceBytes, stream),
            "a product");
  }

 private:
  template <class Value>
  void set(cublasLtMatmulDescAttributes_t attribute, const Value& value) const {
    require(cublasLtMatmulDescSetAttribute(operation_, attribute, &value, sizeof(value)),
            "setting an attribute");
  }

  void set_types(const Product& p) const {
    const std::int32_t type = type_of(p.out);
    if (p.bias || p.bias_gradient) set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type);
    if (!p.aux) return;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE, type);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.d_stride);
  }

  void set_pointers(const Product& p) const {
    const void* bias = p.bias_gradient ? p.bias_gradient : p.bias;
    if (bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    if (p.aux) set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, p.aux);
  }

  void choose(cublasLtHandle_t handle, std::uint32_t alignment) {
    cublasLtMatmulPreference_t preference = nullptr;
    require(cublasLtMatmulPreferenceCreate(&preference), "choosing an algorithm");
    const std::size_t workspace = kWorkspaceBytes;
    cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace,
                                         sizeof(workspace));
    for (const auto attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
      cublasLtMatmulPreferenceSetAttribute(preference, attribute, &alignment, sizeof(alignment));
    }
    cublasLtMatmulHeuristicResult_t result = {};
    int found = 0;
    const cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(
        handle, operation_, a_.handle, b_.handle, d_.handle, d_.handle, preference, 1, &result, &found);
    cublasLtMatmulPreferenceDestroy(preference);
    exists_ = status == CUBLAS_STATUS_SUCCESS && found > 0;
    algorithm_ = result.algo;
  }

  cublasLtMatmulDesc_t operation_ = nullptr;
  Layout a_, b_, d_;
  cublasLtMatmulAlgo_t algorithm_ = {};
  bool exists_ = false;
};

Gemm::Gemm(cudaStream_t stream) : stream_(stream) {
  require(cublasLtCreate(&handle_), "starting");
  cuda::require(cudaMalloc(&workspace_, kWorkspaceBytes), "memory for cuBLASLt");
}

Gemm::~Gemm() {
  plans_.clear();
  cudaFree(workspace_);
  cublasLtDestroy(handle_);
}

Gemm::Key Gemm::key_of(const Product& p) {
  std::uint32_t alignment = 16;
  for (const void* pointer : {p.a, p.b, p.c, static_cast<const void*>(p.d), static_cast<const void*>(p.aux),
                              p.bias, static_cast<const void*>(p.bias_gradient)}) {
    alignment = std::min(alignment, alignment_of(pointer));
  }
  return {p.m,       p.n,   p.k,       p.a_stride,     p.b_stride,     p.d_stride,
          p.in,      p.out, alignment, p.a_transposed, p.b_transposed, p.c != nullptr,
          p.epilogue};
}

const GemmPlan& Gemm::plan_of(const Product& product) {
  const Key key = key_of(product);
  std::unique_ptr<GemmPlan>& plan = plans_[key];
  if (!plan) plan = std::make_unique<GemmPlan>(handle_, product, key.alignment);
  return *plan;
}

bool Gemm::try_multiply(const Product& product) {
  const GemmPlan& plan = plan_of(product);
  if (!plan.exists()) return false;
  plan.run(handle_, product, workspace_, stream_);
  return true;
}

void Gemm::multiply(const Product& product) {
  if (try_multiply(product)) return;
  throw Error("device cuda: cuBLASLt has no algorithm for a product of (" + std::to_string(product.m) + ", " +
              std::to_string(product.k) + ") and (" + std::to_string(product.k) + ", " +
              std::to_string(product.n) + ")");
}

}  // namespace vitrail::cuda
