// LayerNorm. A warp a row; the row stays in registers between the passes, so x is read once: 8 bytes an
// element forward, 16 backward (dy, x, and dx read and written). Longer rows than registers hold, and rows
// that are not whole packs of four, are read again from the caches.

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace vitrail::cuda {
namespace {

constexpr int kWarps = 4;  // a block

struct Forward {
  float *y, *mean, *rstd;
  const float *x, *weight, *bias;
  std::int64_t rows;
  int dim;
  double eps;
};

struct Backward {
  float* dx;
  const float *dy, *x, *weight, *mean, *rstd;
  std::int64_t rows;
  int dim;
};

// The numbers of one row that this lane has: packs of Width, 32 packs apart.
template <int Width, int Packs>
class RowPart {
 public:
  // Holds all of them when Packs is not 0.
  __device__ RowPart(const float* row, int dim) : row_(row), dim_(dim) {
    if constexpr (Packs > 0) {
#pragma unroll
      for (int p = 0; p < Packs; ++p) {
        if (column(p) < dim) held_[p] = load<Width>(row + column(p));
      }
    }
  }

  // body(column, pack) for each pack.
  template <class Body>
  __device__ __forceinline__ void each(const Body& body) const {
    if constexpr (Packs > 0) {
#pragma unroll
      for (int p = 0; p < Packs; ++p) {
        if (column(p) < dim_) body(column(p), held_[p]);
      }
    } else {
      for (int p = 0; column(p) < dim_; ++p)
        body(column(p), load<Width>(row_ + column(p)));
    }
  }

 private:
  __device__ static int column(int pack) {
    return (pack * 32 + static_cast<int>(threadIdx.x) % 32) * Width;
  }

  const float* row_;
  int dim_;
  Pack<float, Width> held_[Packs > 0 ? Packs : 1];
};

__device__ std::int64_t row_of_warp() {
  return std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
}

template <int Width, int Packs>
__global__ void __launch_bounds__(32 * kWarps) layernorm_forward(Forward op) {
  const std::int64_t row = row_of_warp();
  if (row >= op.rows) return;
  const RowPart<Width, Packs> x(op.x + row * op.dim, op.dim);
  float sum = 0;
  x.each([&](int, const Pack<float, Width>& pack) {
#pragma unroll
    for (int i = 0; i < Width; ++i)
      sum += pack.of[i];
  });
  const float mean = warp_sum(sum) / static_cast<float>(op.dim);
  float squares = 0;  // a second pass, because Σx² − n·mean² would cancel
  x.each([&](int, const Pack<float, Width>& pack) {
#pragma unroll
    for (int i = 0; i < Width; ++i)
      squares += (pack.of[i] - mean) * (pack.of[i] - mean);
  });
  const float variance = warp_sum(squares) / static_cast<float>(op.dim);
  const auto rstd = static_cast<float>(1 / sqrt(static_cast<double>(variance) + op.eps));
  if (threadIdx.x % 32 == 0) {
    op.mean[row] = mean;
    op.rstd[row] = rstd;
  }
  float* y = op.y + row * op.dim;
  x.each([&](int column, Pack<float, Width> pack) {
    const Pack<float, Width> weight = load<Width>(op.weight + column), bias = load<Width>(op.bias + column);
#pragma unroll
    for (int i = 0; i < Width; ++i)
      pack.of[i] = (pack.of[i] - mean) * rstd * weight.of[i] + bias.of[i];
    store(y + column, pack);
  });
}

template <int Width, int Packs>
__global__ void __launch_bounds__(32 * kWarps) layernorm_backward_x(Backward op) {
  const std::int64_t row = row_of_warp();
  if (row >= op.rows) return;
  const RowPart<Width, Packs> x(op.x + row * op.dim, op.dim);
  const float mean = op.mean[row], rstd = op.rstd[row];
  const float* dy = op.dy + row * op.dim;
  float sum_g = 0, sum_gx = 0;
  x.each([&](int column, const Pack<float, Width>& pack) {
    const Pack<float, Width> d = load<Width>(dy + column), weight = load<Width>(op.weight + column);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      const float g = d.of[i] * weight.of[i];
      sum_g += g;
      sum_gx += g * (pack.of[i] - mean) * rstd;
    }
  });
  const float mean_g = warp_sum(sum_g) / static_cast<float>(op.dim);
  const float mean_gx = warp_sum(sum_gx) / static_cast<float>(op.dim);
  float* dx = op.dx + row * op.dim;
  x.each([&](int column, const Pack<float, Width>& pack) {
    const Pack<float, Width> d = load<Width>(dy + column), weight = load<Width>(op.weight + column);
    Pack<float, Width> sum = load<Width>(dx + column);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      const float xhat = (pack.of[i] - mean) * rstd;
      sum.of[i] += rstd * (d.of[i] * weight.of[i] - mean_g - xhat * mean_gx);
    }
    store(dx + column, sum);
  });
}

// Calls body with the width of a pack and the packs of a lane as types.
template <class Body>
void with_packs(bool fours, int dim, const Body& body) {
  const auto fits = [&](int packs) { return fours && dim <= packs * 128; };
  using std::integral_constant;
  if (!fours) return body(integral_constant<int, 1>{}, integral_constant<int, 0>{});
  if (fits(2)) return body(integral_constant<int, 4>{}, integral_constant<int, 2>{});
  if (fits(4)) return body(integral_constant<int, 4>{}, integral_constant<int, 4>{});
  if (fits(6)) return body(integral_constant<int, 4>{}, integral_constant<int, 6>{});
  if (fits(8)) return body(integral_constant<int, 4>{}, integral_constant<int, 8>{});
  if (fits(12)) return body(integral_constant<int, 4>{}, integral_constant<int, 12>{});
  body(integral_constant<int, 4>{}, integral_constant<int, 0>{});
}

LaunchShape shape_of(const Context& context, std::int64_t rows) {
  return {.grid = static_cast<unsigned>((rows + kWarps - 1) / kWarps),
          .block = 32 * kWarps,
          .stream = context.stream()};
}

// dy · x̂ of one number
struct WeightGradient {
  const float *dy, *x, *mean, *rstd;
  std::int64_t dim;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    return dy[row * dim + column] * (x[row * dim + column] - mean[row]) * rstd[row];
  }
};

struct BiasGradient {
  const float* dy;
  std::int64_t dim;
  __device__ float operator()(std::int64_t row, std::int64_t column) const { return dy[row * dim + column]; }
};

}  // namespace

void execute(Context& context, const LayerNormForward& op) {
  const std::int64_t rows = op.x.shape[0] * op.x.shape[1], dim = op.x.shape[2];
  const Forward forward{op.y.as<float>(),
                        op.mean.as<float>(),
                        op.rstd.as<float>(),
                        op.x.as<float>(),
                        op.weight.as<float>(),
                        op.bias.as<float>(),
                        rows,
                        static_cast<int>(dim),
                        op.eps};
  const bool fours = all_in_fours(dim, forward.y, forward.x, forward.weight, forward.bias);
  with_packs(fours, forward.dim, [&](auto width, auto packs) {
    launch<layernorm_forward<decltype(width)::value, decltype(packs)::value>>(shape_of(context, rows),
                                                                              forward);
  });
}

void execute(Context& context, const LayerNormBackward& op) {
  const std::int64_t rows = op.x.shape[0] * op.x.shape[1], dim = op.x.shape[2];
  const Backward backward{op.dx_acc.as<float>(),
                          op.dy.as<float>(),
                          op.x.as<float>(),
                          op.weight.as<float>(),
                          op.mean.as<float>(),
                          op.rstd.as<float>(),
                          rows,
                          static_cast<int>(dim)};
  const bool fours = all_in_fours(dim, backward.dx, backward.dy, backward.x, backward.weight);
  with_packs(fours, backward.dim, [&](auto width, auto packs) {
    launch<layernorm_backward_x<decltype(width)::value, decltype(packs)::value>>(shape_of(context, rows),
                                                                                 backward);
  });
  add_column_sums(context, op.dweight_acc.as<float>(), rows, dim,
                  WeightGradient{backward.dy, backward.x, backward.mean, backward.rstd, dim});
  add_column_sums(context, op.dbias_acc.as<float>(), rows, dim, BiasGradient{backward.dy, dim});
}

}  // namespace vitrail::cuda
