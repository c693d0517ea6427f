#include "kernels/layernorm.h"

#include <math.h>

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/chunks.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/stream.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

// Rows whose parts of dweight and dbias are summed together. Part of the result's rounding: a constant.
constexpr std::int64_t kRowsOfPartialSum = 64;
constexpr std::int64_t kColsOfTask = 64;

// Σ x
template <class T>
T sum(const T* x, std::int64_t n) {
  Vec<T> total0{}, total1{};
  std::int64_t i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    total0 += load(x + i);
    total1 += load(x + i + kLanes<T>);
  }
  T total = sum_of<T>(total0 + total1);
  for (; i < n; ++i)
    total += x[i];
  return total;
}

// Σ (x − mean)²: a second pass over the row, because Σx² − n·mean² would cancel.
template <class T>
T sum_of_squares(const T* x, T mean, std::int64_t n) {
  Vec<T> total0{}, total1{};
  std::int64_t i = 0;
  for (; i + 2 * kLanes<T> <= n; i += 2 * kLanes<T>) {
    const Vec<T> d0 = load(x + i) - mean, d1 = load(x + i + kLanes<T>) - mean;
    total0 += d0 * d0;
    total1 += d1 * d1;
  }
  T total = sum_of<T>(total0 + total1);
  for (; i < n; ++i)
    total += (x[i] - mean) * (x[i] - mean);
  return total;
}

// T is the dtype of x, D that of y and dy.
template <class T, class D>
void forward(Context& context, const LayerNormForward& op) {
  const std::int64_t rows = op.x.shape[0] * op.x.shape[1], cols = op.x.shape[2];
  const T* weight = op.weight.as<T>();
  const T* bias = op.bias.as<T>();
  const bool past_caches = streams(Rows<D>{op.y.as<D>(), cols}, rows);
  for_chunks(context, rows, rows_per_chunk(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      const T* x = op.x.as<T>() + row * cols;
      D* y = op.y.as<D>() + row * cols;
      const T mean = sum(x, cols) / static_cast<T>(cols);
      const T variance = sum_of_squares(x, mean, cols) / static_cast<T>(cols);
      const T rstd = static_cast<T>(1 / ::sqrt(static_cast<double>(variance) + op.eps));
      op.mean.as<T>()[row] = mean;
      op.rstd.as<T>()[row] = rstd;
      each_vector<T>(cols, [&](std::int64_t i, const auto& access) {
        write_or_stream(access, y + i,
                        (access.load(x + i) - mean) * rstd * access.load(weight + i) + access.load(bias + i),
                        past_caches);
      });
    }
    if (past_caches) finish_streaming();
  });
}

// One row of the backward.
template <class T, class D>
struct BackwardRow {
  T* dx;  // (cols)  +=
  const D* dy;
  const T* x;
  T mean, rstd;
};

// Σ g and Σ g·x̂ over the row, while dweight += dy·x̂ and dbias += dy.
template <class T, class D>
void sums_of_row(const BackwardRow<T, D>& row, const T* weight, T* dweight, T* dbias, std::int64_t cols,
                 T* sum_g, T* sum_gx) {
  Vec<T> total_g{}, total_gx{};
  each_vector<T>(cols, [&](std::int64_t i, const auto& access) {
    const Vec<T> dy = read(access, row.dy + i);
    const Vec<T> xhat = (access.load(row.x + i) - row.mean) * row.rstd;
    const Vec<T> g = dy * access.load(weight + i);
    total_g += g;
    total_gx += g * xhat;
    access.store(dweight + i, access.load(dweight + i) + dy * xhat);
    access.store(dbias + i, access.load(dbias + i) + dy);
  });
  *sum_g = sum_of<T>(total_g);
  *sum_gx = sum_of<T>(total_gx);
}

template <class T, class D>
void backward_row(const BackwardRow<T, D>& row, const T* weight, T* dweight, T* dbias, std::int64_t cols) {
  T sum_g, sum_gx;
  sums_of_row(row, weight, dweight, dbias, cols, &sum_g, &sum_gx);
  const T mean_g = sum_g / static_cast<T>(cols), mean_gx = sum_gx / static_cast<T>(cols);
  T* dx = row.dx;
  each_vector<T>(cols, [&](std::int64_t i, const auto& access) {
    const Vec<T> xhat = (access.load(row.x + i) - row.mean) * row.rstd;
    const Vec<T> g = read(access, row.dy + i) * access.load(weight + i);
    access.store(dx + i, access.load(dx + i) + row.rstd * (g - mean_g - xhat * mean_gx));
  });
}

// dweight += Σ partials[block][0],   dbias += Σ partials[block][1];   partials (blocks, 2, cols)
template <class T>
void add_partials(Context& context, const LayerNormBackward& op, const T* partials, std::int64_t blocks) {
  const std::int64_t cols = op.x.shape[2];
  for_chunks(context, 2 * cols, kColsOfTask, [&](std::int64_t begin, std::int64_t end) {
    double totals[kColsOfTask] = {};
    for (std::int64_t block = 0; block < blocks; ++block) {
      const T* partial = partials + block * 2 * cols;
      for (std::int64_t i = begin; i < end; ++i)
        totals[i - begin] += static_cast<double>(partial[i]);
    }
    for (std::int64_t i = begin; i < end; ++i) {
      T* to = i < cols ? op.dweight_acc.as<T>() + i : op.dbias_acc.as<T>() + (i - cols);
      *to += static_cast<T>(totals[i - begin]);
    }
  });
}

template <class T, class D>
void backward(Context& context, const LayerNormBackward& op) {
  const std::int64_t rows = op.x.shape[0] * op.x.shape[1], cols = op.x.shape[2];
  const std::int64_t blocks = chunks_of(rows, kRowsOfPartialSum);
  const std::size_t bytes = static_cast<std::size_t>(blocks * 2 * cols) * sizeof(T);
  T* partials = reinterpret_cast<T*>(context.shared_scratch(bytes));
  for_chunks(context, rows, kRowsOfPartialSum, [&](std::int64_t begin, std::int64_t end) {
    T* dweight = partials + begin / kRowsOfPartialSum * 2 * cols;
    T* dbias = dweight + cols;
    for (std::int64_t i = 0; i < 2 * cols; ++i)
      dweight[i] = 0;
    for (std::int64_t r = begin; r < end; ++r) {
      const BackwardRow<T, D> row = {op.dx_acc.as<T>() + r * cols, op.dy.as<D>() + r * cols,
                                     op.x.as<T>() + r * cols, op.mean.as<T>()[r], op.rstd.as<T>()[r]};
      backward_row(row, op.weight.as<T>(), dweight, dbias, cols);
    }
  });
  add_partials(context, op, partials, blocks);
}

}  // namespace

void execute(Context& context, const LayerNormForward& op) {
  if (op.x.dtype == DType::f64) return forward<double, double>(context, op);
  op.y.dtype == DType::f32 ? forward<float, float>(context, op) : forward<float, Bf16>(context, op);
}

void execute(Context& context, const LayerNormBackward& op) {
  if (op.x.dtype == DType::f64) return backward<double, double>(context, op);
  op.dy.dtype == DType::f32 ? backward<float, float>(context, op) : backward<float, Bf16>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
