// Linear layers: products by cuBLASLt, with its epilogues where it has them, and kernels for what it has not:
// GELU by erf or quick, dropout, LayerScale, stochastic depth. Those kernels are memory-bound: 8 to 16 bytes
// an element.

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/dropout_mask.cuh"
#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/gelu.cuh"
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

// x · weightᵀ + bias
Product forward_product(const Sizes& sizes, In x, In weight, In bias, float* d) {
  return {.m = sizes.rows(),
          .n = sizes.out,
          .k = sizes.in,
          .a = x.as<float>(),
          .a_stride = sizes.in,
          .b = weight.as<float>(),
          .b_stride = sizes.in,
          .b_transposed = true,
          .d = d,
          .d_stride = sizes.out,
          .epilogue = bias ? Epilogue::bias : Epilogue::none,
          .bias = bias.as<float>()};
}

template <class Gelu>
struct ApplyGelu {
  float* y;
  const float* pre;
  std::int64_t size;  // of a sample
  DropoutMask mask;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    Pack<float, Width> value = load<Width>(pre + sample * size + element);
    Pack<float, Width> factor;
    if (mask.on()) factor = mask.at<Width>(sample, element);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      value.of[i] = Gelu::y(value.of[i]);
      if (mask.on()) value.of[i] *= factor.of[i];
    }
    store(y + sample * size + element, value);
  }
};

// dx = dx ∘ mask ∘ gelu'(pre)
template <class Gelu>
struct ThroughGelu {
  float* dx;
  const float* pre;
  std::int64_t size;
  DropoutMask mask;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    Pack<float, Width> value = load<Width>(dx + sample * size + element);
    const Pack<float, Width> x = load<Width>(pre + sample * size + element);
    Pack<float, Width> factor;
    if (mask.on()) factor = mask.at<Width>(sample, element);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      value.of[i] *= Gelu::slope(x.of[i]);
      if (mask.on()) value.of[i] *= factor.of[i];
    }
    store(dx + sample * size + element, value);
  }
};

// branch = mask ∘ branch,   y = residual + path · gamma ∘ branch
struct AddBranch {
  float *y, *kept_branch;  // null unless it is kept
  const float *branch, *residual, *gamma;
  std::int64_t size, out;
  DropoutMask mask, drop_path;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    const std::int64_t place = sample * size + element;
    Pack<float, Width> value = load<Width>(branch + place);
    if (mask.on()) {
      const Pack<float, Width> factor = mask.at<Width>(sample, element);
#pragma unroll
      for (int i = 0; i < Width; ++i)
        value.of[i] *= factor.of[i];
    }
    if (kept_branch != nullptr) store(kept_branch + place, value);
    const float path = drop_path.of_sample(sample);
    Pack<float, Width> sum = load<Width>(residual + place);
    Pack<float, Width> scale;
    if (gamma != nullptr) scale = load<Width>(gamma + element % out);
#pragma unroll
    for (int i = 0; i < Width; ++i)
      sum.of[i] += path * (gamma != nullptr ? scale.of[i] : 1.0f) * value.of[i];
    store(y + place, sum);
  }
};

// dbranch = path · mask · gamma ∘ dy
struct BranchGradient {
  float* dbranch;
  const float *dy, *gamma;
  std::int64_t size, out;
  DropoutMask mask, drop_path;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    const float path = drop_path.of_sample(sample);
    Pack<float, Width> value = load<Width>(dy + sample * size + element);
    Pack<float, Width> factor, scale;
    if (mask.on()) factor = mask.at<Width>(sample, element);
    if (gamma != nullptr) scale = load<Width>(gamma + element % out);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      value.of[i] *= path;
      if (gamma != nullptr) value.of[i] *= scale.of[i];
      if (mask.on()) value.of[i] *= factor.of[i];
    }
    store(dbranch + sample * size + element, value);
  }
};

struct Element {
  const float* x;
  std::int64_t columns;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    return x[row * columns + column];
  }
};

// path · branch ∘ dy
struct GammaGradient {
  const float *branch, *dy;
  std::int64_t columns, tokens;
  DropoutMask drop_path;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    const float path = drop_path.on() ? drop_path.of_sample(row / tokens) : 1.0f;
    return path * branch[row * columns + column] * dy[row * columns + column];
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
void backward_weight(Context& context, const Sizes& sizes, const float* dy, In x, Out dweight, Out dbias) {
  Product product{.m = sizes.out,
                  .n = sizes.in,
                  .k = sizes.rows(),
                  .a = dy,
                  .a_stride = sizes.out,
                  .a_transposed = true,
                  .b = x.as<float>(),
                  .b_stride = sizes.in,
                  .d = dweight.as<float>(),
                  .d_stride = sizes.in,
                  .beta = 1};
  if (!dbias) return context.gemm().multiply(product);
  const AddTo add{dbias.as<float>(),
                  context.sum_scratch(static_cast<std::size_t>(sizes.out) * sizeof(float))};
  product.epilogue = Epilogue::bias_grad;
  product.bias_gradient = const_cast<float*>(add.from);
  if (context.gemm().try_multiply(product)) {
    return for_elements(context.stream(), 1, sizes.out, all_in_fours(sizes.out, add.to, add.from), add);
  }
  product.epilogue = Epilogue::none;
  product.bias_gradient = nullptr;
  context.gemm().multiply(product);
  add_column_sums(context, dbias.as<float>(), sizes.rows(), sizes.out, Element{dy, sizes.out});
}

// dx = dy · weight
Product backward_product(const Sizes& sizes, const float* dy, In weight, Out dx) {
  return {.m = sizes.rows(),
          .n = sizes.in,
          .k = sizes.out,
          .a = dy,
          .a_stride = sizes.out,
          .b = weight.as<float>(),
          .b_stride = sizes.in,
          .d = dx.as<float>(),
          .d_stride = sizes.in};
}

// The gradient at the branch: dy itself when nothing stands between.
const float* branch_gradient(Context& context, const LinearResidualBackward& op, const Sizes& sizes) {
  if (!op.gamma && op.dropout.rate == 0 && op.drop_path.rate == 0) return op.dy.as<float>();
  const std::int64_t size = sizes.tokens * sizes.out;
  const BranchGradient gradient{
      op.dbranch.as<float>(),  op.dy.as<float>(),        op.gamma.as<float>(), size, sizes.out,
      DropoutMask(op.dropout), DropoutMask(op.drop_path)};
  for_elements(context.stream(), sizes.samples, size,
               all_in_fours(sizes.out, gradient.dbranch, gradient.dy, gradient.gamma), gradient);
  if (op.dgamma_acc) {
    add_column_sums(context, op.dgamma_acc.as<float>(), sizes.rows(), sizes.out,
                    GammaGradient{op.branch.as<float>(), op.dy.as<float>(), sizes.out, sizes.tokens,
                                  DropoutMask(op.drop_path)});
  }
  return op.dbranch.as<float>();
}

}  // namespace

void execute(Context& context, const LinearForward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  context.gemm().multiply(forward_product(sizes, op.x, op.weight, op.bias, op.y.as<float>()));
}

void execute(Context& context, const LinearBackward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.dy.shape);
  if (op.dx) context.gemm().multiply(backward_product(sizes, op.dy.as<float>(), op.weight, op.dx));
  backward_weight(context, sizes, op.dy.as<float>(), op.x, op.dweight_acc, op.dbias_acc);
}

void execute(Context& context, const LinearGeluForward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  if (op.gelu == GeluKind::tanh && op.pre && op.bias && op.dropout.rate == 0) {
    Product product = forward_product(sizes, op.x, op.weight, op.bias, op.y.as<float>());
    product.epilogue = Epilogue::gelu_aux;
    product.aux = op.pre.as<float>();
    if (context.gemm().try_multiply(product)) return;
  }
  float* y = op.y.as<float>();
  float* pre = op.pre ? op.pre.as<float>() : y;
  context.gemm().multiply(forward_product(sizes, op.x, op.weight, op.bias, pre));
  const std::int64_t size = sizes.tokens * sizes.out;
  with_gelu(op.gelu, [&](auto gelu) {
    for_elements(context.stream(), sizes.samples, size, all_in_fours(size, y, pre),
                 ApplyGelu<decltype(gelu)>{y, pre, size, DropoutMask(op.dropout)});
  });
}

void execute(Context& context, const GeluForward& op) {
  float* y = op.y.as<float>();
  const float* pre = op.pre.as<float>();
  const std::int64_t samples = op.pre.shape[0], size = op.pre.shape[1] * op.pre.shape[2];
  with_gelu(op.gelu, [&](auto gelu) {
    for_elements(context.stream(), samples, size, all_in_fours(size, y, pre),
                 ApplyGelu<decltype(gelu)>{y, pre, size, DropoutMask(op.dropout)});
  });
}

void execute(Context& context, const LinearResidualForward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const bool plain = !op.gamma && !op.branch && op.dropout.rate == 0 && op.drop_path.rate == 0;
  if (plain) {  // the residual comes in as cuBLASLt's c
    Product product = forward_product(sizes, op.x, op.weight, op.bias, op.y.as<float>());
    product.c = op.residual.as<float>();
    product.beta = 1;
    return context.gemm().multiply(product);
  }
  const std::int64_t size = sizes.tokens * sizes.out;
  float* branch = op.branch ? op.branch.as<float>()
                            : context.scratch(static_cast<std::size_t>(sizes.samples * size) * sizeof(float));
  context.gemm().multiply(forward_product(sizes, op.x, op.weight, op.bias, branch));
  const AddBranch add{op.y.as<float>(),
                      op.branch.as<float>(),
                      branch,
                      op.residual.as<float>(),
                      op.gamma.as<float>(),
                      size,
                      sizes.out,
                      DropoutMask(op.dropout),
                      DropoutMask(op.drop_path)};
  for_elements(context.stream(), sizes.samples, size,
               all_in_fours(sizes.out, add.y, add.branch, add.residual, add.gamma), add);
}

void execute(Context& context, const LinearResidualBackward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.dy.shape);
  const float* dbranch = branch_gradient(context, op, sizes);
  backward_weight(context, sizes, dbranch, op.x, op.dweight_acc, op.dbias_acc);
  Product product = backward_product(sizes, dbranch, op.weight, op.dx);
  if (op.gelu_pre && op.gelu == GeluKind::tanh && op.gelu_dropout.rate == 0) {
    product.epilogue = Epilogue::dgelu;
    product.aux = const_cast<float*>(op.gelu_pre.as<float>());  // read only
    if (context.gemm().try_multiply(product)) return;
    product.epilogue = Epilogue::none;
    product.aux = nullptr;
  }
  context.gemm().multiply(product);
  if (!op.gelu_pre) return;
  const std::int64_t size = sizes.tokens * sizes.in;
  float* dx = op.dx.as<float>();
  const float* pre = op.gelu_pre.as<float>();
  with_gelu(op.gelu, [&](auto gelu) {
    for_elements(context.stream(), sizes.samples, size, all_in_fours(size, dx, pre),
                 ThroughGelu<decltype(gelu)>{dx, pre, size, DropoutMask(op.gelu_dropout)});
  });
}

}  // namespace vitrail::cuda
