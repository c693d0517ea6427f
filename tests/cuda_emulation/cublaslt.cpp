// The part of cuBLASLt that the program uses, computed on the host in f32, with cuBLASLt's own rules checked:
// column-major matrices, leading dimensions, alignment, which types go together, which operand an epilogue
// belongs to (cublasLt.h; the cuBLAS documentation, "cublasLtMatmul" and "cublasLtEpilogue_t").

#include <cublasLt.h>
#include <cuda_bf16.h>

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "tests/cuda_emulation/fault.h"
#include "tests/cuda_emulation/memory.h"
#include "tests/cuda_emulation/stream.h"

namespace {

using cuda_emulation::Fault;
using Matrix = Eigen::MatrixXf;  // column-major, as cuBLASLt's

std::size_t bytes_of(cudaDataType type) {
  return type == CUDA_R_16BF ? 2 : 4;
}

struct Layout {
  cudaDataType type;
  std::int64_t rows, columns, stride;
  std::size_t element() const { return bytes_of(type); }
  std::size_t bytes() const { return static_cast<std::size_t>((columns - 1) * stride + rows) * element(); }
};

struct Description {
  cublasOperation_t transpose_a = CUBLAS_OP_N, transpose_b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  void* bias = nullptr;
  void* aux = nullptr;
  std::int64_t aux_stride = 0;
  cudaDataType bias_type = CUDA_R_32F, aux_type = CUDA_R_32F;
  bool bias_type_given = false, aux_type_given = false;
};

struct Preference {
  std::size_t workspace = 0;
  std::uint32_t alignment_a = 256, alignment_b = 256, alignment_c = 256, alignment_d = 256;
};

// What an algorithm was chosen for, kept in its words.
struct Choice {
  std::uint64_t mark, workspace;
  std::uint32_t alignment_a, alignment_b, alignment_c, alignment_d, alignment_bias, alignment_aux;
};
static_assert(sizeof(Choice) <= sizeof(cublasLtMatmulAlgo_t::data));

constexpr std::uint64_t kAlgorithm = 0xC0B1A5;  // marks what the heuristic gave

// CUDA's handles are pointers to structs of words; ours to what we keep in their place.
template <class Own, class Handle>
Own& own(Handle handle) {
  return *reinterpret_cast<Own*>(handle);
}

float read(const void* data, cudaDataType type, std::int64_t index) {
  if (type == CUDA_R_16BF) return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index]);
  return static_cast<const float*>(data)[index];
}

void write(void* data, cudaDataType type, std::int64_t index, float value) {
  if (type == CUDA_R_16BF) {
    static_cast<__nv_bfloat16*>(data)[index] = __float2bfloat16(value);
  } else {
    static_cast<float*>(data)[index] = value;
  }
}

Matrix matrix(const void* data, const Layout& layout, bool transposed) {
  Matrix result(layout.rows, layout.columns);
  for (std::int64_t j = 0; j < layout.columns; ++j) {
    for (std::int64_t i = 0; i < layout.rows; ++i)
      result(i, j) = read(data, layout.type, j * layout.stride + i);
  }
  return transposed ? Matrix(result.transpose()) : result;
}

bool has_bias(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS ||
         epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

bool has_aux(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS || epilogue == CUBLASLT_EPILOGUE_GELU_AUX ||
         epilogue == CUBLASLT_EPILOGUE_DGELU || epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD;
}

bool sums_bias(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_BGRADA || epilogue == CUBLASLT_EPILOGUE_BGRADB ||
         epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD;
}

bool has_gelu(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_GELU || epilogue == CUBLASLT_EPILOGUE_GELU_BIAS ||
         epilogue == CUBLASLT_EPILOGUE_GELU_AUX || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
}

bool has_dgelu(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_DGELU || epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD;
}

float gelu(float x) {
  return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
}

float gelu_slope(float x) {
  const float t = std::tanh(0.79788456f * (x + 0.044715f * x * x * x));
  return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.79788456f * (1 + 3 * 0.044715f * x * x);
}

struct Call {
  Description how;
  float alpha, beta;
  const void *a, *b, *c;
  void* d;
  Layout a_layout, b_layout, c_layout, d_layout;

  std::int64_t depth() const { return how.transpose_a == CUBLAS_OP_N ? a_layout.columns : a_layout.rows; }
  cudaDataType bias_type() const { return how.bias_type_given ? how.bias_type : d_layout.type; }
  cudaDataType aux_type() const { return how.aux_type_given ? how.aux_type : d_layout.type; }
  std::int64_t bias_count() const {
    return how.epilogue == CUBLASLT_EPILOGUE_BGRADB ? d_layout.columns : d_layout.rows;
  }
  void check() const;
  void run() const;
};

void require(bool holds, const std::string& what) {
  if (!holds) throw Fault("cublasLtMatmul: " + what);
}

void check_layout(const std::string& name, const Layout& layout) {
  require(layout.type == CUDA_R_32F || layout.type == CUDA_R_16BF, name + " is neither f32 nor bf16");
  require(layout.rows > 0 && layout.columns > 0, name + " is empty");
  require(layout.stride >= layout.rows, "the leading dimension of " + name + " is " +
                                            std::to_string(layout.stride) + ", less than its " +
                                            std::to_string(layout.rows) + " rows");
}

// The documentation's table for CUBLAS_COMPUTE_32F, as far as f32 and bf16 go: a bf16 product into bf16 or
// f32, an f32 one into f32; C as D; and biases, their gradients and auxiliary matrices as D.
std::string wrong_types(const Description& how, const Layout& a, const Layout& b, const Layout& c,
                        const Layout& d) {
  if (a.type != b.type) return "A and B are of different types";
  if (c.type != d.type) return "C and D are of different types";
  if (a.type == CUDA_R_32F && d.type != CUDA_R_32F) return "a product of f32 matrices that is not f32";
  if ((has_bias(how.epilogue) || sums_bias(how.epilogue)) && how.bias_type_given && how.bias_type != d.type)
    return "a bias of another type than D";
  if (has_aux(how.epilogue) && how.aux_type_given && how.aux_type != d.type)
    return "an auxiliary matrix of another type than D";
  return "";
}

void Call::check() const {
  const std::string wrong = wrong_types(how, a_layout, b_layout, c_layout, d_layout);
  require(wrong.empty(), wrong);
  check_layout("A", a_layout);
  check_layout("B", b_layout);
  check_layout("C", c_layout);
  check_layout("D", d_layout);
  const std::int64_t m = how.transpose_a == CUBLAS_OP_N ? a_layout.rows : a_layout.columns;
  const std::int64_t k = how.transpose_b == CUBLAS_OP_N ? b_layout.rows : b_layout.columns;
  const std::int64_t n = how.transpose_b == CUBLAS_OP_N ? b_layout.columns : b_layout.rows;
  require(depth() == k, "A has depth " + std::to_string(depth()) + ", B " + std::to_string(k));
  require(d_layout.rows == m && d_layout.columns == n && c_layout.rows == m && c_layout.columns == n,
          "C and D must be " + std::to_string(m) + " × " + std::to_string(n));
  require(c != d || c_layout.stride == d_layout.stride, "C is D, but their leading dimensions differ");
  cuda_emulation::require_device("cublasLtMatmul: A", a, a_layout.bytes());
  cuda_emulation::require_device("cublasLtMatmul: B", b, b_layout.bytes());
  cuda_emulation::require_device("cublasLtMatmul: D", d, d_layout.bytes());
  if (beta != 0) cuda_emulation::require_device("cublasLtMatmul: C", c, c_layout.bytes());
  if (has_bias(how.epilogue) || sums_bias(how.epilogue)) {
    cuda_emulation::require_device("cublasLtMatmul: the bias", how.bias,
                                   static_cast<std::size_t>(bias_count()) * bytes_of(bias_type()));
  }
  if (has_aux(how.epilogue)) {
    const Layout aux{aux_type(), m, n, how.aux_stride};
    check_layout("the auxiliary matrix", aux);
    cuda_emulation::require_device("cublasLtMatmul: the auxiliary matrix", how.aux, aux.bytes());
  }
}

void Call::run() const {
  const Matrix left = matrix(a, a_layout, how.transpose_a != CUBLAS_OP_N);
  const Matrix right = matrix(b, b_layout, how.transpose_b != CUBLAS_OP_N);
  Matrix result = alpha * (left * right);
  if (beta != 0) result += beta * matrix(c, c_layout, false);
  Eigen::VectorXf sums = Eigen::VectorXf::Zero(sums_bias(how.epilogue) ? bias_count() : 0);
  if (how.epilogue == CUBLASLT_EPILOGUE_BGRADA) sums = left.rowwise().sum();
  if (how.epilogue == CUBLASLT_EPILOGUE_BGRADB) sums = right.colwise().sum().transpose();
  for (std::int64_t j = 0; j < result.cols(); ++j) {
    for (std::int64_t i = 0; i < result.rows(); ++i) {
      float value = result(i, j);
      if (has_bias(how.epilogue)) value += read(how.bias, bias_type(), i);
      const std::int64_t at = j * how.aux_stride + i;
      if (has_gelu(how.epilogue)) {
        if (has_aux(how.epilogue)) write(how.aux, aux_type(), at, value);
        value = gelu(value);
      }
      if (has_dgelu(how.epilogue)) value *= gelu_slope(read(how.aux, aux_type(), at));
      if (how.epilogue == CUBLASLT_EPILOGUE_DGELU_BGRAD) sums(i) += value;
      write(d, d_layout.type, j * d_layout.stride + i, value);
    }
  }
  for (std::int64_t i = 0; i < sums.size(); ++i)
    write(how.bias, bias_type(), i, sums(i));
}

template <class Value>
void take(Value& to, const void* from, std::size_t bytes) {
  if (bytes != sizeof(Value)) {
    throw Fault("cuBLASLt: an attribute of " + std::to_string(bytes) + " bytes where " +
                std::to_string(sizeof(Value)) + " belong");
  }
  std::memcpy(&to, from, bytes);
}

// Of a pointer, as far as algorithms care.
std::uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer) | 16;
  return static_cast<std::uint32_t>(address & (~address + 1));
}

void require_alignment(const char* name, const void* pointer, std::uint32_t alignment) {
  require(reinterpret_cast<std::uintptr_t>(pointer) % alignment == 0,
          std::string(name) + " is not aligned to the " + std::to_string(alignment) +
              " bytes that its algorithm was chosen for");
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new int(0));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<int*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type,
                                          std::uint64_t rows, std::uint64_t columns, std::int64_t stride) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(
      new Layout{type, static_cast<std::int64_t>(rows), static_cast<std::int64_t>(columns), stride});
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete &own<Layout>(layout);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* description, cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *description = reinterpret_cast<cublasLtMatmulDesc_t>(new Description);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t description) {
  delete &own<Description>(description);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t description,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              std::size_t bytes) {
  Description& to = own<Description>(description);
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      take(to.transpose_a, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_TRANSB:
      take(to.transpose_b, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      take(to.epilogue, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      take(to.bias, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      take(to.aux, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      take(to.aux_stride, value, bytes);
      break;
    case CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE:
      take(to.bias_type, value, bytes);
      to.bias_type_given = true;
      break;
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_DATA_TYPE:
      take(to.aux_type, value, bytes);
      to.aux_type_given = true;
      break;
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(new Preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete &own<Preference>(preference);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, std::size_t bytes) {
  Preference& to = own<Preference>(preference);
  switch (attribute) {
    case CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES:
      take(to.workspace, value, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES:
      take(to.alignment_a, value, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES:
      take(to.alignment_b, value, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES:
      take(to.alignment_c, value, bytes);
      break;
    case CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES:
      take(to.alignment_d, value, bytes);
      break;
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  return CUBLAS_STATUS_SUCCESS;
}

// None for types that do not go together, and for a GELU with its auxiliary matrix where the documentation
// wants a leading dimension that is a multiple of 8; and, stricter than it, none for these and for bias
// gradients where D's columns do not all begin on 16 bytes: so callers' own kernels run too.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t, cublasLtMatmulDesc_t description, cublasLtMatrixLayout_t a_layout,
    cublasLtMatrixLayout_t b_layout, cublasLtMatrixLayout_t c_layout, cublasLtMatrixLayout_t d_layout,
    cublasLtMatmulPreference_t preference, int wanted, cublasLtMatmulHeuristicResult_t* results, int* found) {
  const Description& how = own<Description>(description);
  const Layout& d = own<Layout>(d_layout);
  *found = 0;
  if (wanted < 1) return CUBLAS_STATUS_INVALID_VALUE;
  if (!wrong_types(how, own<Layout>(a_layout), own<Layout>(b_layout), own<Layout>(c_layout), d).empty())
    return CUBLAS_STATUS_NOT_SUPPORTED;
  if (has_aux(how.epilogue) && (how.aux_stride % 8 != 0 || how.aux_stride == 0))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const bool rows_on_16 = static_cast<std::size_t>(d.stride) * d.element() % 16 == 0;
  if ((has_aux(how.epilogue) || sums_bias(how.epilogue)) && !rows_on_16) return CUBLAS_STATUS_NOT_SUPPORTED;
  *found = 1;
  results[0] = {};
  const Preference& given = own<Preference>(preference);
  const Choice choice{kAlgorithm, given.workspace, given.alignment_a, given.alignment_b, given.alignment_c,
                      given.alignment_d,
                      // The header: the heuristic goes by these pointers.
                      alignment_of(how.bias), alignment_of(how.aux)};
  std::memcpy(results[0].algo.data, &choice, sizeof(choice));
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t description, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                              cublasLtMatrixLayout_t c_layout, void* d, cublasLtMatrixLayout_t d_layout,
                              const cublasLtMatmulAlgo_t* algorithm, void* workspace,
                              std::size_t workspace_bytes, cudaStream_t stream) {
  Choice choice{};
  if (algorithm != nullptr) std::memcpy(&choice, algorithm->data, sizeof(choice));
  require(choice.mark == kAlgorithm, "an algorithm that no heuristic gave");
  require(workspace_bytes >= choice.workspace, "a smaller workspace than the algorithm was chosen for");
  cuda_emulation::require_device("cublasLtMatmul: the workspace", workspace, workspace_bytes);
  const Call call{own<Description>(description),
                  *static_cast<const float*>(alpha),
                  *static_cast<const float*>(beta),
                  a,
                  b,
                  c,
                  d,
                  own<Layout>(a_layout),
                  own<Layout>(b_layout),
                  own<Layout>(c_layout),
                  own<Layout>(d_layout)};
  call.check();
  require_alignment("A", a, choice.alignment_a);
  require_alignment("B", b, choice.alignment_b);
  if (call.beta != 0) require_alignment("C", c, choice.alignment_c);
  require_alignment("D", d, choice.alignment_d);
  if (has_bias(call.how.epilogue) || sums_bias(call.how.epilogue))
    require_alignment("the bias", call.how.bias, choice.alignment_bias);
  if (has_aux(call.how.epilogue))
    require_alignment("the auxiliary matrix", call.how.aux, choice.alignment_aux);
  cuda_emulation::enqueue(stream, [call] { call.run(); });
  return CUBLAS_STATUS_SUCCESS;
}

const char* cublasLtGetStatusString(cublasStatus_t) {
  return "a status of cuBLASLt";
}
