#include "kernels/cpu/chunks.h"
#include "kernels/cpu/gelu.h"
#include "kernels/cpu/linear_parts.h"
#include "kernels/cpu/stream.h"
#include "kernels/cpu/weight_gradient.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

constexpr std::int64_t kWeightTile = 384;                  // a tile of dweight, both ways
constexpr std::int64_t kLeastSlice = 256;                  // rows of one slice of a sum over rows
constexpr std::int64_t kLeastWeightTile = 6 * kBlockRows;  // rows of dweight for which packing x still pays

// to[i] (+)= Σ over `count` rows of from[row][i], in the order of the rows.
template <class C, class T>
void sum_rows(const C* from, std::int64_t count, std::int64_t stride, std::int64_t cols, T* to,
              bool accumulate) {
  each_vector<T>(cols, [&](std::int64_t i, const auto& access) {
    Vec<T> sum = accumulate ? access.load(to + i) : Vec<T>{};
    for (std::int64_t row = 0; row < count; ++row)
      sum += read(access, from + row * stride + i);
    access.store(to + i, sum);
  });
}

// The operands of dx = dy · weight, dweight += dyᵀ · x, dbias += Σ dy; dx and dbias may be null.
template <class C>
struct Gradients {
  Sizes sizes;
  Out dx;
  Wide<C>*dweight, *dbias;
  const C *dy, *x, *weight;
  const float* unrounded_dy =
      nullptr;                  // bf16: dy (rows, out) before it is rounded; then dy itself is not there
  bool dx_past_caches = false;  // finish() writes dx past the caches
};

// How one backward is cut: the tiles of dx, each row of tiles with its own part of dbias, and the tiles of
// dweight, each with its slices of rows.
template <class C>
struct BackwardPlan {
  Tiles dx, dweight;
  std::int64_t slice_rows, slices;

  BackwardPlan(const Context& context, const Sizes& sizes)
      : dx(output_tiles<C>(context, sizes.rows(), sizes.in)),
        dweight{sizes.out, sizes.in, piece(sizes.out, kWeightTile, kBlockRows),
                piece(sizes.in, kWeightTile, kPanelCols)} {
    // bf16 products are so fast that adding slices would take longer than packing for more tiles.
    const std::int64_t tasks = kIsBf16<C> ? kWantedTasks / 4 : kWantedTasks / 2;
    while (kIsBf16<C> && dweight.count() < tasks && dweight.tile_rows >= 2 * kLeastWeightTile) {
      dweight.tile_rows = rounded_up(dweight.tile_rows / 2, kBlockRows);
    }
    const std::int64_t wanted = divided_up(tasks, dweight.count());
    slices = greater(1, smaller(wanted, sizes.rows() / kLeastSlice));
    slice_rows = divided_up(sizes.rows(), slices);
    slices = greater(1, divided_up(sizes.rows(), slice_rows));
  }
};

// Memory that is shared by one backward's tasks.
template <class C>
struct BackwardScratch {
  Wide<C>* dbias;         // (rows of dx tiles, out)
  Wide<C>* dweight;       // (slices, out, in) when there are several slices
  std::uint32_t* weight;  // packed
  Bf16* dy;               // (rows, out), rounded

  BackwardScratch(Context& context, const BackwardPlan<C>& plan, const Gradients<C>& grads) {
    using T = Wide<C>;
    const Sizes& sizes = grads.sizes;
    const std::int64_t bias_part = rounded_up(plan.dx.down() * sizes.out, kLanes<T>);
    const std::int64_t weight_part =
        plan.slices > 1 ? rounded_up(plan.slices * sizes.out * sizes.in, kLanes<T>) : 0;
    const std::int64_t words = grads.dx ? weight_words<C>(context, sizes.out, sizes.in) : 0;
    const std::int64_t rounded = grads.unrounded_dy ? sizes.rows() * sizes.out : 0;
    const auto bytes = static_cast<std::size_t>(bias_part + weight_part) * sizeof(T) +
                       static_cast<std::size_t>(words) * sizeof(std::uint32_t) +
                       static_cast<std::size_t>(rounded) * sizeof(Bf16);
    dbias = reinterpret_cast<T*>(context.shared_scratch(bytes));
    dweight = dbias + bias_part;
    weight = reinterpret_cast<std::uint32_t*>(dweight + weight_part);
    dy = reinterpret_cast<Bf16*>(weight + words);
  }
};

template <class C, class Finish>
void backward_x(Context& context, const Gradients<C>& grads, const Tile& tile, std::int64_t part,
                const Weight<C>& weight, const BackwardScratch<C>& scratch, int worker,
                const Finish& finish) {
  const Sizes& sizes = grads.sizes;
  const Rows<const C> dy{grads.dy + tile.row * sizes.out, sizes.out};
  if (grads.dx) {
    const Rows<Wide<C>> in_place =
        grads.dx_past_caches ? Rows<Wide<C>>{nullptr, 0} : place_of<C>(grads.dx, sizes.in, tile);
    const TileMemory<C> memory(context, worker, tile, sizes.out,
                               in_place.data != nullptr || kept_sums<C>(context, sizes.out));
    multiply_rows<C>(context, worker, tile, dy, weight, in_place, memory,
                     [&](const Tile& strip, const Rows<Wide<C>>& sums) { finish(strip, sums, memory.mask); });
  }
  if (grads.dbias && tile.col == 0) {
    sum_rows(dy.data, tile.rows, sizes.out, sizes.out, scratch.dbias + part * sizes.out, false);
  }
}

template <class C>
void backward_weight(Context& context, const Gradients<C>& grads, const BackwardPlan<C>& plan,
                     const Tile& tile, std::int64_t slice, const BackwardScratch<C>& scratch, int worker) {
  const Sizes& sizes = grads.sizes;
  const std::int64_t row = slice * plan.slice_rows;
  Wide<C>* to = plan.slices > 1 ? scratch.dweight + slice * sizes.out * sizes.in : grads.dweight;
  multiply_gradients(context, worker,
                     WeightGradient<C>{.rows = smaller(plan.slice_rows, sizes.rows() - row),
                                       .out = tile.rows,
                                       .in = tile.cols,
                                       .room = sizes.out - tile.row,
                                       .dy = {grads.dy + row * sizes.out + tile.row, sizes.out},
                                       .x = {grads.x + row * sizes.in + tile.col, sizes.in},
                                       .dweight = {to + tile.row * sizes.in + tile.col, sizes.in},
                                       .accumulate = plan.slices == 1});
}

// Adds the parts, in their order.
template <class C>
void add_parts(Context& context, const Gradients<C>& grads, const BackwardPlan<C>& plan,
               const BackwardScratch<C>& scratch) {
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

const Bf16* rounded_gradients(Context& context, const Gradients<Bf16>& grads, Bf16* to) {
  for_chunks(context, grads.sizes.rows() * grads.sizes.out, kChunk,
             [&](std::int64_t begin, std::int64_t end) {
               convert_row(to + begin, grads.unrounded_dy + begin, end - begin);
             });
  return to;
}

// finish(strip, sums, memory) completes rows of a tile of dx while they are in the caches.
template <class C, class Finish>
void backward(Context& context, const Gradients<C>& given, const Finish& finish) {
  Gradients<C> grads = given;
  const Sizes& sizes = grads.sizes;
  const BackwardPlan<C> plan(context, sizes);
  const BackwardScratch<C> scratch(context, plan, grads);
  if constexpr (kIsBf16<C>) {
    if (grads.unrounded_dy) grads.dy = rounded_gradients(context, grads, scratch.dy);
  }
  Weight<C> weight{{grads.weight, sizes.in}, false, sizes.out};
  if (grads.dx) pack(context, weight, sizes.in, scratch.weight);
  const bool need_x = grads.dx || grads.dbias;
  const std::int64_t x_tasks = need_x ? plan.dx.count() : 0;
  // The larger tasks first, so that the threads end together.
  const std::int64_t weight_tasks = plan.dweight.count() * plan.slices;
  context.pool().parallel_for(weight_tasks + x_tasks, [&](std::int64_t index, int worker) {
    if (index < weight_tasks) {
      backward_weight(context, grads, plan, plan.dweight.at(index / plan.slices), index % plan.slices,
                      scratch, worker);
      return;
    }
    const std::int64_t number = index - weight_tasks;
    backward_x(context, grads, plan.dx.at(number), number / plan.dx.across(), weight, scratch, worker,
               finish);
  });
  add_parts(context, grads, plan, scratch);
}

template <class C>
bool streams_dx(const Out& dx, const Sizes& sizes) {
  return dx && streams(Rows<C>{dx.template as<C>(), sizes.in}, sizes.rows());
}

// Rounds the sums into dx where they are not there already.
template <class C>
struct PlainFinish {
  const Gradients<C>& grads;

  void operator()(const Tile& strip, const Rows<Wide<C>>& sums, Wide<C>*) const {
    if constexpr (kIsBf16<C>) {
      for (std::int64_t row = 0; row < strip.rows; ++row) {
        Bf16* dx = grads.dx.template as<Bf16>() + (strip.row + row) * grads.sizes.in + strip.col;
        convert_or_stream(dx, sums.at(row), strip.cols, grads.dx_past_caches);
      }
      if (grads.dx_past_caches) finish_streaming();
    }
  }
};

template <class C>
void backward(Context& context, const LinearBackward& op) {
  const bool rounded = !kIsBf16<C> || op.dy.dtype == DType::bf16;  // the patch embedding's is not
  const Sizes sizes = sizes_of(op.x.shape, op.dy.shape);
  const Gradients<C> grads{.sizes = sizes,
                           .dx = op.dx,
                           .dweight = op.dweight_acc.as<Wide<C>>(),
                           .dbias = op.dbias_acc.as<Wide<C>>(),
                           .dy = rounded ? op.dy.as<C>() : nullptr,
                           .x = op.x.as<C>(),
                           .weight = op.weight.as<C>(),
                           .unrounded_dy = rounded ? nullptr : op.dy.as<float>(),
                           .dx_past_caches = kIsBf16<C> && streams_dx<C>(op.dx, sizes)};
  backward(context, grads, PlainFinish<C>{grads});
}

// dbranch = path · mask · gamma ∘ dy,   dgamma_part = Σ path · branch ∘ dy over the block's rows
template <class C>
void branch_gradient(Context& context, const LinearResidualBackward& op, const Sizes& sizes,
                     const Tile& block, Wide<C>* dgamma_part, int worker) {
  using T = Wide<C>;
  const DropoutMask<T> dropout(op.dropout);
  const DropoutMask<T> drop_path(op.drop_path);
  const T* gamma = op.gamma.as<T>();
  T* memory = scratch_of<T>(context, worker, sizes.out);
  if (dgamma_part) std::memset(dgamma_part, 0, static_cast<std::size_t>(sizes.out) * sizeof(T));
  for (std::int64_t row = block.row; row < block.row + block.rows; ++row) {
    const T path = drop_path.of_sample(row / sizes.tokens);
    const T* mask = mask_of_row(dropout, memory, sizes, sizes.out, row, 0, sizes.out);
    const T* dy = op.dy.as<T>() + row * sizes.out;
    const C* branch = dgamma_part ? op.branch.as<C>() + row * sizes.out : nullptr;
    C* dbranch = op.dbranch.as<C>() + row * sizes.out;
    each_vector<T>(sizes.out, [&](std::int64_t i, const auto& access) {
      const Vec<T> through = path * access.load(dy + i);
      if (dgamma_part) {
        access.store(dgamma_part + i, access.load(dgamma_part + i) + read(access, branch + i) * through);
      }
      write(access, dbranch + i, through * load_or(gamma, i, T{1}, access) * load_or(mask, i, T{1}, access));
    });
  }
}

// The gradient at the branch: dy itself when nothing stands between, not even rounding.
template <class C>
const C* branch_gradients(Context& context, const LinearResidualBackward& op, const Sizes& sizes) {
  if constexpr (!kIsBf16<C>) {
    if (!op.gamma && op.dropout.rate == 0 && op.drop_path.rate == 0) return op.dy.as<C>();
  }
  constexpr std::int64_t kBlockRowsOfSum = 64;
  const Tiles blocks{sizes.rows(), sizes.out, piece(sizes.rows(), kBlockRowsOfSum, 1), sizes.out};
  const auto bytes = static_cast<std::size_t>(blocks.down() * sizes.out) * sizeof(Wide<C>);
  auto* parts = op.dgamma_acc ? reinterpret_cast<Wide<C>*>(context.shared_scratch(bytes)) : nullptr;
  context.pool().parallel_for(blocks.down(), [&](std::int64_t index, int worker) {
    Wide<C>* part = parts ? parts + index * sizes.out : nullptr;
    branch_gradient<C>(context, op, sizes, blocks.at(index), part, worker);
  });
  if (parts) sum_rows(parts, blocks.down(), sizes.out, sizes.out, op.dgamma_acc.as<Wide<C>>(), true);
  return op.dbranch.as<C>();
}

// dx = sums ∘ mask ∘ gelu'(pre), strip by strip.
template <class C, class Gelu>
struct GeluFinish {
  using T = Wide<C>;
  const LinearResidualBackward& op;
  const Sizes& sizes;
  const Gelu& gelu;
  DropoutMask<T> dropout;
  bool from_above;   // a tile's strips follow each other from above
  bool past_caches;  // dx

  void operator()(const Tile& strip, const Rows<T>& sums, T* memory) const {
    const Gelu here = gelu;
    for (std::int64_t row = 0; row < strip.rows; ++row) {
      const std::int64_t at = (strip.row + row) * sizes.in + strip.col;
      C* dx = op.dx.as<C>() + at;
      const C* pre = op.gelu_pre.as<C>() + at;
      const T* from = sums.at(row);
      const T* mask = mask_of_row(dropout, memory, sizes, sizes.in, strip.row + row, strip.col, strip.cols);
      if (from_above) fetch_ahead(pre + strip.rows * sizes.in, strip.cols);
      each_vector<T>(strip.cols, [&](std::int64_t i, const auto& access) {
        const Vec<T> slope = here.template slope<T>(read(access, pre + i));
        write_or_stream(access, dx + i, access.load(from + i) * slope * load_or(mask, i, T{1}, access),
                        past_caches);
      });
    }
    if (past_caches) finish_streaming();
  }
};

template <class C>
void backward_residual(Context& context, const LinearResidualBackward& op) {
  const Sizes sizes = sizes_of(op.x.shape, op.dy.shape);
  Gradients<C> grads{.sizes = sizes,
                     .dx = op.dx,
                     .dweight = op.dweight_acc.as<Wide<C>>(),
                     .dbias = op.dbias_acc.as<Wide<C>>(),
                     .dy = branch_gradients<C>(context, op, sizes),
                     .x = op.x.as<C>(),
                     .weight = op.weight.as<C>()};
  const bool sums_elsewhere = kIsBf16<C> || (op.gelu_pre && kept_sums<C>(context, sizes.out));
  grads.dx_past_caches = sums_elsewhere && streams_dx<C>(op.dx, sizes);
  if (!op.gelu_pre) return backward(context, grads, PlainFinish<C>{grads});
  with_gelu<C>(op.gelu, [&]<class Gelu>(const Gelu& gelu) {
    backward(context, grads,
             GeluFinish<C, Gelu>{.op = op,
                                 .sizes = sizes,
                                 .gelu = gelu,
                                 .dropout = DropoutMask<Wide<C>>(op.gelu_dropout),
                                 .from_above = by_panels<C>(context),
                                 .past_caches = grads.dx_past_caches});
  });
}

}  // namespace

void execute(Context& context, const LinearBackward& op) {
  if (op.x.dtype == DType::f64) return backward<double>(context, op);
  if (op.x.dtype == DType::f32) return backward<float>(context, op);
  backward<Bf16>(context, op);
}

void execute(Context& context, const LinearResidualBackward& op) {
  if (op.x.dtype == DType::f64) return backward_residual<double>(context, op);
  if (op.x.dtype == DType::f32) return backward_residual<float>(context, op);
  backward_residual<Bf16>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
