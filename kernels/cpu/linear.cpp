#include <cassert>

#include "kernels/cpu/dropout_mask.h"
#include "kernels/cpu/gelu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/tiles.h"
#include "kernels/cpu/transpose.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

constexpr std::int64_t kWantedTasks = 32;  // so that sixteen threads find work of equal size
constexpr std::int64_t kTileRows = 192;    // a tile of x and one of y lie in a core's second cache together
constexpr std::int64_t kTileCols = 768;
constexpr std::int64_t kLeastTileCols = 128;
constexpr std::int64_t kWeightTile = 384;  // a tile of dweight, both ways
constexpr std::int64_t kRowsForTransposition = 512;
constexpr std::int64_t kLeastSlice = 256;  // rows of one slice of a sum over rows

struct Sizes {
  std::int64_t samples, tokens, in, out;
  std::int64_t rows() const { return samples * tokens; }
};

std::int64_t last_extent(const Shape& shape) {
  return shape.dims[static_cast<std::size_t>(shape.rank - 1)];
}

std::int64_t elements(const Shape& shape) {
  std::int64_t product = 1;
  for (int axis = 0; axis < shape.rank; ++axis)
    product *= shape.dims[static_cast<std::size_t>(axis)];
  return product;
}

// x (samples, …, in), y (samples, …, out)
Sizes sizes_of(const Shape& x, const Shape& y) {
  const std::int64_t in = last_extent(x);
  const std::int64_t samples = x.dims[0];
  return {samples, samples == 0 ? 0 : elements(x) / in / samples, in, last_extent(y)};
}

// The tiles of a (rows, cols) output of a product.
Tiles output_tiles(std::int64_t rows, std::int64_t cols) {
  Tiles tiles{rows, cols, piece(rows, kTileRows, 8), piece(cols, kTileCols, 16)};
  while (tiles.count() < kWantedTasks && tiles.tile_cols >= 2 * kLeastTileCols) {
    tiles.tile_cols = rounded_up(tiles.tile_cols / 2, 16);
  }
  return tiles;
}

// Operands of a row's epilogue that may be absent are read through this.
template <class T, class Access>
Vec<T> load_or(const T* from, std::int64_t offset, T otherwise, const Access& access) {
  return from ? access.load(from + offset) : splat(otherwise);
}

// The weight as the forward's products read it: stored (out, in), or transposed once for all tiles, which is
// the faster form for the product when there are enough rows to pay for it.
template <class T>
struct ForwardWeight {
  const T* data;
  std::int64_t stride;
  bool stored;  // (out, in)

  ForwardWeight(Context& context, const Sizes& sizes, In weight)
      : data(weight.as<T>()), stride(sizes.in), stored(sizes.rows() < kRowsForTransposition) {
    if (stored) return;
    stride = rounded_up(sizes.out, kLanes<T>);
    T* to =
        reinterpret_cast<T*>(context.shared_scratch(static_cast<std::size_t>(sizes.in * stride) * sizeof(T)));
    const Tiles tiles{sizes.out, sizes.in, 16 * kLanes<T>, 4 * kLanes<T>};
    context.pool().parallel_for(tiles.count(), [&](std::int64_t index, int) {
      const Tile tile = tiles.at(index);
      transpose_rows(weight.as<T>() + tile.row * sizes.in + tile.col, sizes.in, tile.rows, tile.cols,
                     to + tile.col * stride + tile.row, stride);
    });
    data = to;
  }

  const T* column(std::int64_t col) const { return stored ? data + col * stride : data + col; }
};

// c = the tile of x · weightᵀ
template <class T>
void multiply_forward(const Context& context, const Sizes& sizes, const Tile& tile, In x,
                      const ForwardWeight<T>& weight, T* c, std::int64_t c_stride) {
  multiply(context, Product<T>{.m = tile.rows,
                               .n = tile.cols,
                               .k = sizes.in,
                               .a = x.as<T>() + tile.row * sizes.in,
                               .a_stride = sizes.in,
                               .a_transposed = false,
                               .b = weight.column(tile.col),
                               .b_stride = weight.stride,
                               .b_transposed = weight.stored,
                               .c = c,
                               .c_stride = c_stride});
}

// The mask of one row's columns [col, col + cols), or null when dropout is off.
template <class T>
const T* mask_of_row(const DropoutMask<T>& dropout, T* memory, const Sizes& sizes, std::int64_t width,
                     std::int64_t row, std::int64_t col, std::int64_t cols) {
  if (!dropout.on()) return nullptr;
  dropout.fill(memory, row / sizes.tokens, row % sizes.tokens * width + col, cols);
  return memory;
}

template <class T>
T* scratch_of(Context& context, int worker, std::int64_t count) {
  return reinterpret_cast<T*>(context.scratch(worker, static_cast<std::size_t>(count) * sizeof(T)));
}

template <class T>
void forward(Context& context, const LinearForward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const Tiles tiles = output_tiles(sizes.rows(), sizes.out);
  const ForwardWeight<T> weight(context, sizes, op.weight);
  context.pool().parallel_for(tiles.count(), [&](std::int64_t index, int) {
    const Tile tile = tiles.at(index);
    T* y = op.y.as<T>() + tile.row * sizes.out + tile.col;
    multiply_forward(context, sizes, tile, op.x, weight, y, sizes.out);
    if (!op.bias) return;
    const T* bias = op.bias.as<T>() + tile.col;
    for (std::int64_t row = 0; row < tile.rows; ++row, y += sizes.out) {
      each_vector<T>(tile.cols, [&](std::int64_t i, const auto& access) {
        access.store(y + i, access.load(y + i) + access.load(bias + i));
      });
    }
  });
}

template <class T, class Gelu>
void forward_gelu(Context& context, const LinearGeluForward& op, Gelu) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const Tiles tiles = output_tiles(sizes.rows(), sizes.out);
  const ForwardWeight<T> weight(context, sizes, op.weight);
  const DropoutMask<T> dropout(op.dropout);
  context.pool().parallel_for(tiles.count(), [&](std::int64_t index, int worker) {
    const Tile tile = tiles.at(index);
    T* y = op.y.as<T>() + tile.row * sizes.out + tile.col;
    T* pre = op.pre ? op.pre.as<T>() + tile.row * sizes.out + tile.col : y;
    multiply_forward(context, sizes, tile, op.x, weight, pre, sizes.out);
    const T* bias = op.bias ? op.bias.as<T>() + tile.col : nullptr;
    T* memory = scratch_of<T>(context, worker, tile.cols);
    for (std::int64_t row = 0; row < tile.rows; ++row, y += sizes.out, pre += sizes.out) {
      const T* mask = mask_of_row(dropout, memory, sizes, sizes.out, tile.row + row, tile.col, tile.cols);
      each_vector<T>(tile.cols, [&](std::int64_t i, const auto& access) {
        const Vec<T> x = access.load(pre + i) + load_or(bias, i, T{0}, access);
        if (op.pre) access.store(pre + i, x);
        access.store(y + i, Gelu::template y<T>(x) * load_or(mask, i, T{1}, access));
      });
    }
  });
}

template <class T>
void forward_residual(Context& context, const LinearResidualForward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const Tiles tiles = output_tiles(sizes.rows(), sizes.out);
  const ForwardWeight<T> weight(context, sizes, op.weight);
  const DropoutMask<T> dropout(op.dropout);
  const DropoutMask<T> drop_path(op.drop_path);
  context.pool().parallel_for(tiles.count(), [&](std::int64_t index, int worker) {
    const Tile tile = tiles.at(index);
    const std::int64_t at = tile.row * sizes.out + tile.col;
    T* memory = scratch_of<T>(context, worker, (tile.rows + 1) * tile.cols);
    T* branch = op.branch ? op.branch.as<T>() + at : memory + tile.cols;
    const std::int64_t branch_stride = op.branch ? sizes.out : tile.cols;
    multiply_forward(context, sizes, tile, op.x, weight, branch, branch_stride);
    const T* bias = op.bias ? op.bias.as<T>() + tile.col : nullptr;
    const T* gamma = op.gamma ? op.gamma.as<T>() + tile.col : nullptr;
    const T* residual = op.residual.as<T>() + at;
    T* y = op.y.as<T>() + at;
    for (std::int64_t row = 0; row < tile.rows; ++row) {
      const T path = drop_path.of_sample((tile.row + row) / sizes.tokens);
      const T* mask = mask_of_row(dropout, memory, sizes, sizes.out, tile.row + row, tile.col, tile.cols);
      each_vector<T>(tile.cols, [&](std::int64_t i, const auto& access) {
        Vec<T> value = access.load(branch + i) + load_or(bias, i, T{0}, access);
        if (mask) value *= access.load(mask + i);
        if (op.branch) access.store(branch + i, value);
        access.store(y + i, access.load(residual + i) + path * load_or(gamma, i, T{1}, access) * value);
      });
      branch += branch_stride;
      residual += sizes.out;
      y += sizes.out;
    }
  });
}

// to[i] (+)= Σ over `count` rows of from[row][i], in the order of the rows.
template <class T>
void sum_rows(const T* from, std::int64_t count, std::int64_t stride, std::int64_t cols, T* to,
              bool accumulate) {
  each_vector<T>(cols, [&](std::int64_t i, const auto& access) {
    Vec<T> sum = accumulate ? access.load(to + i) : Vec<T>{};
    for (std::int64_t row = 0; row < count; ++row)
      sum += access.load(from + row * stride + i);
    access.store(to + i, sum);
  });
}

// The operands of dx = dy · weight, dweight += dyᵀ · x, dbias += Σ dy; dx and dbias may be null.
template <class T>
struct Gradients {
  Sizes sizes;
  T *dx, *dweight, *dbias;
  const T *dy, *x, *weight;
};

// How one backward is cut: the tiles of dx, each row of tiles with its own part of dbias, and the tiles of
// dweight, each with its slices of rows.
struct BackwardPlan {
  Tiles dx, dweight;
  std::int64_t slice_rows, slices;

  explicit BackwardPlan(const Sizes& sizes)
      : dx(output_tiles(sizes.rows(), sizes.in)),
        dweight{sizes.out, sizes.in, piece(sizes.out, kWeightTile, 16), piece(sizes.in, kWeightTile, 16)} {
    const std::int64_t wanted = divided_up(kWantedTasks / 2, dweight.count());
    slices = greater(1, smaller(wanted, sizes.rows() / kLeastSlice));
    slice_rows = divided_up(sizes.rows(), slices);
    slices = greater(1, divided_up(sizes.rows(), slice_rows));
  }
};

// Memory that is shared by one backward's tasks.
template <class T>
struct BackwardScratch {
  T* dbias;    // (rows of dx tiles, out)
  T* dweight;  // (slices, out, in) when there are several slices

  BackwardScratch(Context& context, const BackwardPlan& plan, const Sizes& sizes) {
    const std::int64_t bias_part = rounded_up(plan.dx.down() * sizes.out, kLanes<T>);
    const std::int64_t weight_part = plan.slices > 1 ? plan.slices * sizes.out * sizes.in : 0;
    const auto bytes = static_cast<std::size_t>(bias_part + weight_part) * sizeof(T);
    dbias = reinterpret_cast<T*>(context.shared_scratch(bytes));
    dweight = dbias + bias_part;
  }
};

template <class T, class Finish>
void backward_x(Context& context, const Gradients<T>& grads, const Tile& tile, std::int64_t part,
                const BackwardScratch<T>& scratch, int worker, const Finish& finish) {
  const Sizes& sizes = grads.sizes;
  const T* dy = grads.dy + tile.row * sizes.out;
  if (grads.dx) {
    multiply(context, Product<T>{.m = tile.rows,
                                 .n = tile.cols,
                                 .k = sizes.out,
                                 .a = dy,
                                 .a_stride = sizes.out,
                                 .a_transposed = false,
                                 .b = grads.weight + tile.col,
                                 .b_stride = sizes.in,
                                 .b_transposed = false,
                                 .c = grads.dx + tile.row * sizes.in + tile.col,
                                 .c_stride = sizes.in});
    finish(tile, worker);
  }
  if (grads.dbias && tile.col == 0) {
    sum_rows(dy, tile.rows, sizes.out, sizes.out, scratch.dbias + part * sizes.out, false);
  }
}

template <class T>
void backward_weight(const Context& context, const Gradients<T>& grads, const BackwardPlan& plan,
                     const Tile& tile, std::int64_t slice, const BackwardScratch<T>& scratch) {
  const Sizes& sizes = grads.sizes;
  const std::int64_t row = slice * plan.slice_rows;
  T* to = plan.slices > 1 ? scratch.dweight + slice * sizes.out * sizes.in : grads.dweight;
  multiply(context, Product<T>{.m = tile.rows,
                               .n = tile.cols,
                               .k = smaller(plan.slice_rows, sizes.rows() - row),
                               .a = grads.dy + row * sizes.out + tile.row,
                               .a_stride = sizes.out,
                               .a_transposed = true,
                               .b = grads.x + row * sizes.in + tile.col,
                               .b_stride = sizes.in,
                               .b_transposed = false,
                               .c = to + tile.row * sizes.in + tile.col,
                               .c_stride = sizes.in,
                               .beta = plan.slices > 1 ? T{0} : T{1}});
}

// Adds the parts, in their order.
template <class T>
void add_parts(Context& context, const Gradients<T>& grads, const BackwardPlan& plan,
               const BackwardScratch<T>& scratch) {
  const Sizes& sizes = grads.sizes;
  if (grads.dbias) sum_rows(scratch.dbias, plan.dx.down(), sizes.out, sizes.out, grads.dbias, true);
  if (plan.slices == 1) return;
  constexpr std::int64_t kChunk = 8192;
  const std::int64_t count = sizes.out * sizes.in;
  context.pool().parallel_for(divided_up(count, kChunk), [&](std::int64_t index, int) {
    const std::int64_t begin = index * kChunk;
    sum_rows(scratch.dweight + begin, plan.slices, count, smaller(kChunk, count - begin),
             grads.dweight + begin, true);
  });
}

// finish(tile, worker) completes a tile of dx while it is in the caches.
template <class T, class Finish>
void backward(Context& context, const Gradients<T>& grads, const Finish& finish) {
  const BackwardPlan plan(grads.sizes);
  const BackwardScratch<T> scratch(context, plan, grads.sizes);
  const bool need_x = grads.dx || grads.dbias;
  const std::int64_t x_tasks = need_x ? plan.dx.count() : 0;
  context.pool().parallel_for(
      x_tasks + plan.dweight.count() * plan.slices, [&](std::int64_t index, int worker) {
        if (index < x_tasks) {
          backward_x(context, grads, plan.dx.at(index), index / plan.dx.across(), scratch, worker, finish);
          return;
        }
        const std::int64_t number = index - x_tasks;
        backward_weight(context, grads, plan, plan.dweight.at(number / plan.slices), number % plan.slices,
                        scratch);
      });
  add_parts(context, grads, plan, scratch);
}

template <class T>
void backward(Context& context, const LinearBackward& op) {
  const Gradients<T> grads{.sizes = sizes_of(op.x.shape, op.dy.shape),
                           .dx = op.dx.as<T>(),
                           .dweight = op.dweight_acc.as<T>(),
                           .dbias = op.dbias_acc.as<T>(),
                           .dy = op.dy.as<T>(),
                           .x = op.x.as<T>(),
                           .weight = op.weight.as<T>()};
  backward(context, grads, [](const Tile&, int) {});
}

// dbranch = path · mask · gamma ∘ dy,   dgamma_part = Σ path · branch ∘ dy over the block's rows
template <class T>
void branch_gradient(Context& context, const LinearResidualBackward& op, const Sizes& sizes,
                     const Tile& block, T* dgamma_part, int worker) {
  const DropoutMask<T> dropout(op.dropout);
  const DropoutMask<T> drop_path(op.drop_path);
  const T* gamma = op.gamma.as<T>();
  T* memory = scratch_of<T>(context, worker, sizes.out);
  if (dgamma_part) std::memset(dgamma_part, 0, static_cast<std::size_t>(sizes.out) * sizeof(T));
  for (std::int64_t row = block.row; row < block.row + block.rows; ++row) {
    const T path = drop_path.of_sample(row / sizes.tokens);
    const T* mask = mask_of_row(dropout, memory, sizes, sizes.out, row, 0, sizes.out);
    const T* dy = op.dy.as<T>() + row * sizes.out;
    const T* branch = dgamma_part ? op.branch.as<T>() + row * sizes.out : nullptr;
    T* dbranch = op.dbranch.as<T>() + row * sizes.out;
    each_vector<T>(sizes.out, [&](std::int64_t i, const auto& access) {
      const Vec<T> through = path * access.load(dy + i);
      if (dgamma_part) {
        access.store(dgamma_part + i, access.load(dgamma_part + i) + access.load(branch + i) * through);
      }
      access.store(dbranch + i, through * load_or(gamma, i, T{1}, access) * load_or(mask, i, T{1}, access));
    });
  }
}

// The gradient at the branch: dy itself when nothing stands between.
template <class T>
const T* branch_gradients(Context& context, const LinearResidualBackward& op, const Sizes& sizes) {
  if (!op.gamma && op.dropout.rate == 0 && op.drop_path.rate == 0) return op.dy.as<T>();
  constexpr std::int64_t kBlockRows = 64;
  const Tiles blocks{sizes.rows(), sizes.out, piece(sizes.rows(), kBlockRows, 1), sizes.out};
  const auto bytes = static_cast<std::size_t>(blocks.down() * sizes.out) * sizeof(T);
  T* parts = op.dgamma_acc ? reinterpret_cast<T*>(context.shared_scratch(bytes)) : nullptr;
  context.pool().parallel_for(blocks.down(), [&](std::int64_t index, int worker) {
    T* part = parts ? parts + index * sizes.out : nullptr;
    branch_gradient<T>(context, op, sizes, blocks.at(index), part, worker);
  });
  if (parts) sum_rows(parts, blocks.down(), sizes.out, sizes.out, op.dgamma_acc.as<T>(), true);
  return op.dbranch.as<T>();
}

// dx = dx ∘ mask ∘ gelu'(pre) on one tile
template <class T, class Gelu>
void through_gelu(Context& context, const LinearResidualBackward& op, const DropoutMask<T>& dropout,
                  const Sizes& sizes, const Tile& tile, int worker, Gelu) {
  T* memory = scratch_of<T>(context, worker, tile.cols);
  for (std::int64_t row = tile.row; row < tile.row + tile.rows; ++row) {
    T* dx = op.dx.as<T>() + row * sizes.in + tile.col;
    const T* pre = op.gelu_pre.as<T>() + row * sizes.in + tile.col;
    const T* mask = mask_of_row(dropout, memory, sizes, sizes.in, row, tile.col, tile.cols);
    each_vector<T>(tile.cols, [&](std::int64_t i, const auto& access) {
      const Vec<T> slope = Gelu::template slope<T>(access.load(pre + i));
      access.store(dx + i, access.load(dx + i) * slope * load_or(mask, i, T{1}, access));
    });
  }
}

template <class T>
void backward_residual(Context& context, const LinearResidualBackward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.dy.shape);
  const Gradients<T> grads{.sizes = sizes,
                           .dx = op.dx.as<T>(),
                           .dweight = op.dweight_acc.as<T>(),
                           .dbias = op.dbias_acc.as<T>(),
                           .dy = branch_gradients<T>(context, op, sizes),
                           .x = op.x.as<T>(),
                           .weight = op.weight.as<T>()};
  if (!op.gelu_pre) return backward(context, grads, [](const Tile&, int) {});
  const DropoutMask<T> dropout(op.gelu_dropout);
  with_gelu(op.gelu, [&](auto gelu) {
    backward(context, grads, [&](const Tile& tile, int worker) {
      through_gelu(context, op, dropout, sizes, tile, worker, gelu);
    });
  });
}

}  // namespace

void execute(Context& context, const LinearForward& op) {
  op.x.dtype == DType::f64 ? forward<double>(context, op) : forward<float>(context, op);
}

void execute(Context& context, const LinearBackward& op) {
  op.x.dtype == DType::f64 ? backward<double>(context, op) : backward<float>(context, op);
}

void execute(Context& context, const LinearGeluForward& op) {
  with_gelu(op.gelu, [&](auto gelu) {
    op.x.dtype == DType::f64 ? forward_gelu<double>(context, op, gelu)
                             : forward_gelu<float>(context, op, gelu);
  });
}

void execute(Context& context, const LinearResidualForward& op) {
  op.x.dtype == DType::f64 ? forward_residual<double>(context, op) : forward_residual<float>(context, op);
}

void execute(Context& context, const LinearResidualBackward& op) {
  op.x.dtype == DType::f64 ? backward_residual<double>(context, op) : backward_residual<float>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
