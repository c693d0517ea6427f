// Linear layers: products by cuBLASLt, with its epilogues where it has them, and kernels (gelu.cu, branch.cu)
// for what it has not: GELU by erf or quick, dropout, LayerScale, stochastic depth.

#include "kernels/cuda/branch.h"
#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/gelu_ops.h"
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

struct Sizes {
  std::int64_t samples, tokens, in, out;
  std::int64_t rows() const { return samples * tokens; }
};

Sizes sizes_of(const Shape& x, const Shape& y) {
  return {x[0], x[1], x[2], y[2]};
}

std::size_t bytes_of(const Shape& shape, DType dtype) {
  return static_cast<std::size_t>(shape.elements()) * size_of(dtype);
}

// A bias as cuBLASLt takes it: in the dtype of what it is added to. Uses the context's sum_scratch.
In bias_for(Context& context, In bias, DType dtype) {
  if (!bias || bias.dtype == dtype) return bias;
  const Out rounded{context.sum_scratch(bytes_of(bias.shape, dtype)), dtype, bias.shape};
  execute(context, Cast{.y = rounded, .x = bias});
  return rounded;
}

// d = x · weightᵀ + bias
Product forward_product(Context& context, const Sizes& sizes, In x, In weight, In bias, Out d) {
  return {.m = sizes.rows(),
          .n = sizes.out,
          .k = sizes.in,
          .in = x.dtype,
          .out = d.dtype,
          .a = x.data,
          .a_stride = sizes.in,
          .b = weight.data,
          .b_stride = sizes.in,
          .b_transposed = true,
          .d = d.data,
          .d_stride = sizes.out,
          .epilogue = bias ? Epilogue::bias : Epilogue::none,
          .bias = bias_for(context, bias, d.dtype).data};
}

template <class T>
struct Element {
  const T* x;
  std::int64_t columns;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    return as_float(x[row * columns + column]);
  }
};

struct AddTo {
  float* to;
  const float* from;

  template <int Width>
  __device__ void at(std::int64_t, std::int64_t element) const {
    Pack<float, Width> sum = load<Width>(to + element);
    const Pack<float, Width> more = load<Width>(from + element);
#pragma unroll
    for (int i = 0; i < Width; ++i)
      sum.of[i] += more.of[i];
    store(to + element, sum);
  }
};

// dweight += dyᵀ · x,   dbias += Σ dy. cuBLASLt sums dy on the way where it can, which saves a pass over it.
void backward_weight(Context& context, const Sizes& sizes, In dy, In x, Out dweight, Out dbias) {
  Product product{.m = sizes.out,
                  .n = sizes.in,
                  .k = sizes.rows(),
                  .in = x.dtype,
                  .out = dweight.dtype,
                  .a = dy.data,
                  .a_stride = sizes.out,
                  .a_transposed = true,
                  .b = x.data,
                  .b_stride = sizes.in,
                  .d = dweight.data,
                  .d_stride = sizes.in,
                  .beta = 1};
  if (!dbias) return context.gemm().multiply(product);
  float* const sums = context.sum_scratch(static_cast<std::size_t>(sizes.out) * sizeof(float));
  product.epilogue = Epilogue::bias_grad;
  product.bias_gradient = sums;
  if (context.gemm().try_multiply(product)) {
    const AddTo add{dbias.as<float>(), sums};
    return for_elements(context.stream(), 1, sizes.out, all_in_fours(sizes.out, add.to, add.from), add);
  }
  product.epilogue = Epilogue::none;
  product.bias_gradient = nullptr;
  context.gemm().multiply(product);
  with_dtype(dy.dtype, [&](auto number) {
    using T = decltype(number);
    add_column_sums(context, dbias.as<float>(), sizes.rows(), sizes.out, Element<T>{dy.as<T>(), sizes.out});
  });
}

// dx = dy · weight
Product backward_product(const Sizes& sizes, In dy, In weight, Out dx) {
  return {.m = sizes.rows(),
          .n = sizes.in,
          .k = sizes.out,
          .in = dy.dtype,
          .out = dx.dtype,
          .a = dy.data,
          .a_stride = sizes.out,
          .b = weight.data,
          .b_stride = sizes.in,
          .d = dx.data,
          .d_stride = sizes.in};
}

}  // namespace

void execute(Context& context, const LinearForward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  context.gemm().multiply(forward_product(context, sizes, op.x, op.weight, op.bias, op.y));
}

void execute(Context& context, const LinearBackward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.dy.shape);
  if (op.dx) context.gemm().multiply(backward_product(sizes, op.dy, op.weight, op.dx));
  backward_weight(context, sizes, op.dy, op.x, op.dweight_acc, op.dbias_acc);
}

void execute(Context& context, const LinearGeluForward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const Out pre = op.pre ? op.pre : op.y;
  Product product = forward_product(context, sizes, op.x, op.weight, op.bias, pre);
  if (op.gelu == GeluKind::tanh && op.pre && op.bias && op.dropout.rate == 0) {
    Product fused = product;
    fused.d = op.y.data;
    fused.epilogue = Epilogue::gelu_aux;
    fused.aux = op.pre.data;
    if (context.gemm().try_multiply(fused)) return;
  }
  context.gemm().multiply(product);
  apply_gelu(context, op.y, pre, op.gelu, op.dropout);
}

void execute(Context& context, const LinearResidualForward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const bool plain = !op.gamma && !op.branch && op.dropout.rate == 0 && op.drop_path.rate == 0;
  if (plain) {  // the residual comes in as cuBLASLt's c
    Product product = forward_product(context, sizes, op.x, op.weight, op.bias, op.y);
    product.c = op.residual.data;
    product.beta = 1;
    return context.gemm().multiply(product);
  }
  const DType dtype = op.x.dtype;
  const Out branch =
      op.branch ? op.branch : Out{context.scratch(bytes_of(op.y.shape, dtype)), dtype, op.y.shape};
  context.gemm().multiply(forward_product(context, sizes, op.x, op.weight, op.bias, branch));
  add_branch(context, op, branch);
}

void execute(Context& context, const LinearResidualBackward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.dy.shape);
  const In dbranch = branch_gradient(context, op);
  backward_weight(context, sizes, dbranch, op.x, op.dweight_acc, op.dbias_acc);
  const Product product = backward_product(sizes, dbranch, op.weight, op.dx);
  if (op.gelu_pre && op.gelu == GeluKind::tanh && op.gelu_dropout.rate == 0) {
    Product fused = product;
    fused.epilogue = Epilogue::dgelu;
    fused.aux = const_cast<void*>(op.gelu_pre.data);  // read only
    if (context.gemm().try_multiply(fused)) return;
  }
  context.gemm().multiply(product);
  if (op.gelu_pre) through_gelu(context, op.dx, op.gelu_pre, op.gelu, op.gelu_dropout);
}

}  // namespace vitrail::cuda
