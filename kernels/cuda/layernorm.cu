// LayerNorm. A warp a row; the row stays in registers between the passes, so x is read once: 8 bytes an
// element forward, 16 backward (dy, x, and dx read and written); 6 and 14 with y and dy in bf16. Longer rows
// than registers hold, and rows that are not whole packs of four, are read again from the caches.

#include "kernels/cuda/column_sums.cuh"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/vector.cuh"

namespace vitrail::cuda {
namespace {

constexpr int kWarps = 4;  // a block

// y and dy are of T, all else is f32.
template <class T>
struct Forward {
  T* y;
  float *mean, *rstd;
  const float *x, *weight, *bias;
  std::int64_t rows;
  int dim;
  float eps;
};

template <class T>
struct Backward {
  float* dx;
  const T* dy;
  const float *x, *weight, *mean, *rstd;
  std::int64_t rows;
  int dim;
};

// The numbers of one row that this lane has: packs of Width, 32 packs apart.
template <class T, int Width, int Packs>
class RowPart {
 public:
  // Holds all of them when Packs is not 0.
  __device__ RowPart(const T* row, int dim) : row_(row), dim_(dim) {
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
        if (column(p) < dim_) body(column(p), as_floats(held_[p]));
      }
    } else {
      for (int p = 0; column(p) < dim_; ++p)
        body(column(p), load_floats<Width>(row_ + column(p)));
    }
  }

  // body(number, column, pack, the pack of `other` in the same place)
  template <class U, class Body>
  __device__ __forceinline__ void each_with(const RowPart<U, Width, Packs>& other, const Body& body) const {
    if constexpr (Packs > 0) {
#pragma unroll
      for (int p = 0; p < Packs; ++p) {
        if (column(p) < dim_) body(p, column(p), as_floats(held_[p]), as_floats(other.held_[p]));
      }
    } else {
      for (int p = 0; column(p) < dim_; ++p)
        body(p, column(p), load_floats<Width>(row_ + column(p)), load_floats<Width>(other.row_ + column(p)));
    }
  }

 private:
  template <class U, int OtherWidth, int OtherPacks>
  friend class RowPart;

  __device__ static int column(int pack) {
    return (pack * 32 + static_cast<int>(threadIdx.x) % 32) * Width;
  }

  const T* row_;
  int dim_;
  Pack<T, Width> held_[Packs > 0 ? Packs : 1];
};

__device__ std::int64_t row_of_warp() {
  return std::int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
}

template <class T, int Width, int Packs>
__global__ void __launch_bounds__(32 * kWarps) layernorm_forward(Forward<T> op) {
  const std::int64_t row = row_of_warp();
  if (row >= op.rows) return;
  const RowPart<float, Width, Packs> x(op.x + row * op.dim, op.dim);
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
  const float rstd = 1 / sqrtf(variance + op.eps);
  if (threadIdx.x % 32 == 0) {
    op.mean[row] = mean;
    op.rstd[row] = rstd;
  }
  T* y = op.y + row * op.dim;
  x.each([&](int column, Pack<float, Width> pack) {
    const Pack<float, Width> weight = load<Width>(op.weight + column), bias = load<Width>(op.bias + column);
#pragma unroll
    for (int i = 0; i < Width; ++i)
      pack.of[i] = (pack.of[i] - mean) * rstd * weight.of[i] + bias.of[i];
    store_floats(y + column, pack);
  });
}

__device__ __forceinline__ void add_pack(float* to, Pack<float, 4> pack, bool first) {
  if (!first) {
    const Pack<float, 4> before = load<4>(to);
#pragma unroll
    for (int i = 0; i < 4; ++i)
      pack.of[i] += before.of[i];
  }
  store(to, pack);
}

// One row's part of dx; body(pack number, column, dy, x̂) sees every pack.
template <int Width, int Packs, class T, class Body>
__device__ __forceinline__ void backward_row(const Backward<T>& op, std::int64_t row, const Body& body) {
  const RowPart<float, Width, Packs> x(op.x + row * op.dim, op.dim);
  const RowPart<T, Width, Packs> dy(op.dy + row * op.dim, op.dim);
  const float mean = op.mean[row], rstd = op.rstd[row];
  float sum_g = 0, sum_gx = 0;
  dy.each_with(x, [&](int pack, int column, const Pack<float, Width>& d, const Pack<float, Width>& value) {
    const Pack<float, Width> weight = load<Width>(op.weight + column);
    Pack<float, Width> xhat;
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      xhat.of[i] = (value.of[i] - mean) * rstd;
      const float g = d.of[i] * weight.of[i];
      sum_g += g;
      sum_gx += g * xhat.of[i];
    }
    body(pack, d, xhat);
  });
  const float mean_g = warp_sum(sum_g) / static_cast<float>(op.dim);
  const float mean_gx = warp_sum(sum_gx) / static_cast<float>(op.dim);
  float* dx = op.dx + row * op.dim;
  dy.each_with(x, [&](int, int column, const Pack<float, Width>& d, const Pack<float, Width>& value) {
    const Pack<float, Width> weight = load<Width>(op.weight + column);
    Pack<float, Width> sum = load<Width>(dx + column);
#pragma unroll
    for (int i = 0; i < Width; ++i) {
      const float xhat = (value.of[i] - mean) * rstd;
      sum.of[i] += rstd * (d.of[i] * weight.of[i] - mean_g - xhat * mean_gx);
    }
    store(dx + column, sum);
  });
}

// Rows that registers do not hold: the weights' gradients are summed by column_sums.cuh afterwards.
template <class T, int Width>
__global__ void __launch_bounds__(32 * kWarps) layernorm_backward_x(Backward<T> op) {
  const std::int64_t row = row_of_warp();
  if (row >= op.rows) return;
  backward_row<Width, 0>(op, row, [](int, const Pack<float, Width>&, const Pack<float, Width>&) {});
}

// dx, and partials[block] = (Σ dy·x̂, Σ dy) of the block's chunk of rows: warp w takes rows w, w + 4, … of it,
// and the warps' sums are added in their order. dy and x are read once.
template <class T, int Packs>
__global__ void __launch_bounds__(32 * kWarps)
    layernorm_backward(Backward<T> op, float* partials, std::int64_t chunk_rows) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const std::int64_t begin = std::int64_t{blockIdx.x} * chunk_rows;
  const std::int64_t end = begin + chunk_rows < op.rows ? begin + chunk_rows : op.rows;
  Pack<float, 4> dweight[Packs] = {}, dbias[Packs] = {};
  for (std::int64_t row = begin + warp; row < end; row += kWarps) {
    backward_row<4, Packs>(op, row, [&](int pack, const Pack<float, 4>& dy, const Pack<float, 4>& xhat) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        dweight[pack].of[i] += dy.of[i] * xhat.of[i];
        dbias[pack].of[i] += dy.of[i];
      }
    });
  }
  float* const sums = dynamic_shared<float>();  // (2, dim)
  for (int turn = 0; turn < kWarps; ++turn) {
    if (turn == warp) {
#pragma unroll
      for (int p = 0; p < Packs; ++p) {
        const int column = (p * 32 + static_cast<int>(threadIdx.x) % 32) * 4;
        if (column >= op.dim) continue;
        add_pack(sums + column, dweight[p], turn == 0);
        add_pack(sums + op.dim + column, dbias[p], turn == 0);
      }
    }
    __syncthreads();
  }
  float* to = partials + std::int64_t{blockIdx.x} * 2 * op.dim;
  for (int i = static_cast<int>(threadIdx.x); i < 2 * op.dim; i += 32 * kWarps)
    to[i] = sums[i];
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
template <class T>
struct WeightGradient {
  const T* dy;
  const float *x, *mean, *rstd;
  std::int64_t dim;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    return as_float(dy[row * dim + column]) * (x[row * dim + column] - mean[row]) * rstd[row];
  }
};

template <class T>
struct BiasGradient {
  const T* dy;
  std::int64_t dim;
  __device__ float operator()(std::int64_t row, std::int64_t column) const {
    return as_float(dy[row * dim + column]);
  }
};

template <int Packs, class T>
void backward_with_sums(Context& context, const Backward<T>& backward, const LayerNormBackward& op) {
  constexpr std::int64_t kMostChunks = 1024, kLeastRows = 16;  // enough blocks for the largest GPU
  const std::int64_t rows = std::max(kLeastRows, (backward.rows + kMostChunks - 1) / kMostChunks);
  const std::int64_t chunks = (backward.rows + rows - 1) / rows, dim = backward.dim;
  const auto bytes = static_cast<std::size_t>(2 * dim) * sizeof(float);
  float* partials = context.sum_scratch(static_cast<std::size_t>(chunks) * bytes);
  launch<layernorm_backward<T, Packs>>({.grid = static_cast<unsigned>(chunks),
                                        .block = 32 * kWarps,
                                        .shared_bytes = bytes,
                                        .stream = context.stream()},
                                       backward, partials, rows);
  add_partial_sums(context, op.dweight_acc.as<float>(), partials, dim, 2 * dim, chunks);
  add_partial_sums(context, op.dbias_acc.as<float>(), partials + dim, dim, 2 * dim, chunks);
}

template <class T>
void forward(Context& context, const LayerNormForward& op) {
  const std::int64_t rows = op.x.shape[0] * op.x.shape[1], dim = op.x.shape[2];
  const Forward<T> forward{op.y.as<T>(),
                           op.mean.as<float>(),
                           op.rstd.as<float>(),
                           op.x.as<float>(),
                           op.weight.as<float>(),
                           op.bias.as<float>(),
                           rows,
                           static_cast<int>(dim),
                           static_cast<float>(op.eps)};
  const bool fours = all_in_fours(dim, forward.y, forward.x, forward.weight, forward.bias);
  with_packs(fours, forward.dim, [&](auto width, auto packs) {
    launch<layernorm_forward<T, decltype(width)::value, decltype(packs)::value>>(shape_of(context, rows),
                                                                                 forward);
  });
}

template <class T>
void backward(Context& context, const LayerNormBackward& op) {
  const std::int64_t rows = op.x.shape[0] * op.x.shape[1], dim = op.x.shape[2];
  const Backward<T> backward{
      op.dx_acc.as<float>(), op.dy.as<T>(), op.x.as<float>(),     op.weight.as<float>(), op.mean.as<float>(),
      op.rstd.as<float>(),   rows,          static_cast<int>(dim)};
  const bool fours = all_in_fours(dim, backward.dx, backward.dy, backward.x, backward.weight);
  with_packs(fours, backward.dim, [&](auto width, auto packs) {
    constexpr int kWidth = decltype(width)::value, kPacks = decltype(packs)::value;
    if constexpr (kPacks > 0 && kPacks <= 8) {  // more would spill
      backward_with_sums<kPacks>(context, backward, op);
    } else {
      launch<layernorm_backward_x<T, kWidth>>(shape_of(context, rows), backward);
      add_column_sums(context, op.dweight_acc.as<float>(), rows, dim,
                      WeightGradient<T>{backward.dy, backward.x, backward.mean, backward.rstd, dim});
      add_column_sums(context, op.dbias_acc.as<float>(), rows, dim, BiasGradient<T>{backward.dy, dim});
    }
  });
}

}  // namespace

void execute(Context& context, const LayerNormForward& op) {
  with_dtype(op.y.dtype, [&](auto number) { forward<decltype(number)>(context, op); });
}

void execute(Context& context, const LayerNormBackward& op) {
  with_dtype(op.dy.dtype, [&](auto number) { backward<decltype(number)>(context, op); });
}

}  // namespace vitrail::cuda
