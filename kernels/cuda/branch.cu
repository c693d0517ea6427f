// Kernels between the residual stream, which is f32, and branches of T: 12 bytes an element in f32, 10 in
// bf16 forward; 8 and 6 backward.

#include "kernels/cuda/branch.h"

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/dropout_mask.cuh"
#include "kernels/cuda/elementwise.cuh"

namespace vitrail::cuda {
namespace {

template <class T>
struct AddBranch {
  float* y;
  T* branch;  // null unless dropout makes another of it
  const T* product;
  const float *residual, *gamma;
  std::int64_t size, out;
  DropoutMask mask, drop_path;

  template <int Width>
  __device__ void at(std::int64_t sample, std::int64_t element) const {
    const std::int64_t place = sample * size + element;
    Pack<float, Width> value = load_floats<Width>(product + place);
    if (mask.on()) {
      const Pack<float, Width> factor = mask.at<Width>(sample, element);
#pragma unroll
      for (int i = 0; i < Width; ++i)
        value.of[i] *= factor.of[i];
    }
    if (branch != nullptr) store_floats(branch + place, value);
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

template <class T>
struct BranchGradient {
  T* dbranch;
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
    store_floats(dbranch + sample * size + element, value);
  }
};

// path · branch ∘ dy
template <class T>
struct GammaGradient {
  const T* branch;
  const float* dy;
  std::int64_t columns, tokens;
  DropoutMask drop_path;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    const float path = drop_path.on() ? drop_path.of_sample(row / tokens) : 1.0f;
    return path * as_float(branch[row * columns + column]) * dy[row * columns + column];
  }
};

}  // namespace

void add_branch(const Context& context, const LinearResidualForward& op, In product) {
  const std::int64_t out = op.y.shape[2], size = op.y.shape[1] * out;
  with_dtype(product.dtype, [&](auto number) {
    using T = decltype(number);
    const DropoutMask mask(op.dropout);
    const AddBranch<T> add{op.y.as<float>(),
                           mask.on() ? op.branch.as<T>() : nullptr,
                           product.as<T>(),
                           op.residual.as<float>(),
                           op.gamma.as<float>(),
                           size,
                           out,
                           mask,
                           DropoutMask(op.drop_path)};
    for_elements<kWidest<T>>(context.stream(), op.y.shape[0], size,
                             all_in_packs<kWidest<T>>(out, add.y, add.product, add.residual, add.gamma), add);
  });
}

In branch_gradient(Context& context, const LinearResidualBackward& op) {
  const DropoutMask mask(op.dropout), drop_path(op.drop_path);
  if (!op.gamma && !mask.on() && !drop_path.on() && op.dbranch.dtype == op.dy.dtype) return op.dy;
  const std::int64_t samples = op.dy.shape[0], tokens = op.dy.shape[1], out = op.dy.shape[2];
  const float* dy = op.dy.as<float>();
  const float* gamma = op.gamma.as<float>();
  with_dtype(op.dbranch.dtype, [&](auto number) {
    using T = decltype(number);
    T* dbranch = op.dbranch.as<T>();
    for_elements<kWidest<T>>(context.stream(), samples, tokens * out,
                             all_in_packs<kWidest<T>>(out, dbranch, dy, gamma),
                             BranchGradient<T>{dbranch, dy, gamma, tokens * out, out, mask, drop_path});
    if (op.dgamma_acc) {
      add_column_sums(context, op.dgamma_acc.as<float>(), samples * tokens, out,
                      GammaGradient<T>{op.branch.as<T>(), dy, out, tokens, drop_path});
    }
  });
  return op.dbranch;
}

}  // namespace vitrail::cuda
