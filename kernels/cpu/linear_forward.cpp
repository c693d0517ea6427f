#include "kernels/cpu/gelu.h"
#include "kernels/cpu/linear_parts.h"
#include "kernels/cpu/quantize.h"
#include "kernels/cpu/stream.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

constexpr std::int64_t kRowsForTransposition = 512;

// The weight as x · weightᵀ reads it: as stored, or f32 transposed once for all tiles, which is the faster
// form for the products of libraries when there are enough rows to pay for it, or bf16 packed.
template <class C>
Weight<C> forward_weight(Context& context, const Sizes& sizes, In weight) {
  Weight<C> result{{weight.as<C>(), sizes.in}, true, sizes.in};
  if constexpr (kIsBf16<C>) {
    const std::int64_t words = weight_words<C>(context, sizes.in, sizes.out);
    auto* memory = reinterpret_cast<std::uint32_t*>(
        context.shared_scratch(static_cast<std::size_t>(words) * sizeof(std::uint32_t)));
    pack(context, result, sizes.out, memory);
  } else if (context.products().f32 != Gemm::vitrail && sizes.rows() >= kRowsForTransposition) {
    const std::int64_t stride = spread_stride<C>(sizes.out);
    C* to =
        reinterpret_cast<C*>(context.shared_scratch(static_cast<std::size_t>(sizes.in * stride) * sizeof(C)));
    const Tiles tiles{sizes.out, sizes.in, 16 * kLanes<C>, 4 * kLanes<C>};
    context.pool().parallel_for(tiles.count(), [&](std::int64_t index, int) {
      const Tile tile = tiles.at(index);
      transpose_rows(weight.as<C>() + tile.row * sizes.in + tile.col, sizes.in, tile.rows, tile.cols,
                     to + tile.col * stride + tile.row, stride);
    });
    result.stored = {to, stride};
    result.transposed = false;
  }
  return result;
}

// each_strip() in 8 bits.
template <class Place, class Finish>
void each_quantized_strip(Context& context, const Sizes& sizes, In x, In weight, const QuantizedRows& rows,
                          const Place& place, const Finish& finish) {
  const Tiles tiles = output_tiles<float>(context, sizes.rows(), sizes.out);
  const StepRows steps = cut_into_steps(context, x.as<float>(), sizes.rows(), sizes.in);
  const bool kept = bytes_by_panels(context, sizes.in) && keeps_sums(sizes.in / 4);
  context.pool().parallel_for(tiles.count(), [&](std::int64_t index, int worker) {
    const Tile tile = tiles.at(index);
    const Rows<float> in_place = place(tile);
    const TileMemory<float> memory(context, worker, tile, sizes.in, in_place.data != nullptr || kept);
    const Rows<float> sums = in_place.data ? in_place : memory.sums;
    const Int8Product product{.m = tile.rows,
                              .n = tile.cols,
                              .k = sizes.in,
                              .a = steps.steps + tile.row * steps.stride,
                              .a_stride = steps.stride,
                              .b = weight.as<std::int8_t>() + tile.col * sizes.in,
                              .b_stride = sizes.in,
                              .c = reinterpret_cast<std::int32_t*>(sums.data),
                              .c_stride = sums.stride};
    multiply(context, worker, product, [&](const Tile& part, const Rows<float>& part_sums) {
      const Tile strip{tile.row + part.row, tile.col + part.col, part.rows, part.cols};
      finish_steps(strip, steps, rows.scale.as<float>() + strip.col, rows.sum.as<float>() + strip.col,
                   part_sums);
      finish(strip, part_sums, memory.mask);
    });
  });
}

// Calls finish(strip, sums, memory) for all of x · weightᵀ; place(tile) says where sums may go.
template <class C, class Op, class Place, class Finish>
void each_strip(Context& context, const Sizes& sizes, const Op& op, const Place& place,
                const Finish& finish) {
  if constexpr (std::is_same_v<C, float>) {
    if (op.quantized.scale)
      return each_quantized_strip(context, sizes, op.x, op.weight, op.quantized, place, finish);
  }
  const Tiles tiles = output_tiles<C>(context, sizes.rows(), sizes.out);
  const Weight<C> factor = forward_weight<C>(context, sizes, op.weight);
  context.pool().parallel_for(tiles.count(), [&](std::int64_t index, int worker) {
    const Tile tile = tiles.at(index);
    const Rows<Wide<C>> in_place = place(tile);
    const TileMemory<C> memory(context, worker, tile, sizes.in,
                               in_place.data != nullptr || kept_sums<C>(context, sizes.in));
    const Rows<const C> rows{op.x.template as<C>() + tile.row * sizes.in, sizes.in};
    multiply_rows<C>(context, worker, tile, rows, factor, in_place, memory,
                     [&](const Tile& strip, const Rows<Wide<C>>& sums) { finish(strip, sums, memory.mask); });
  });
}

// y may be Wide<C> beside bf16: the patch embedding's is.
template <class C, class Y>
void forward(Context& context, const LinearForward& op) {
  using T = Wide<C>;
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const bool past_caches = kIsBf16<C> && streams(Rows<Y>{op.y.as<Y>(), sizes.out}, sizes.rows());
  each_strip<C>(
      context, sizes, op, [&](const Tile& tile) { return place_of<C>(op.y, sizes.out, tile); },
      [&](const Tile& strip, const Rows<T>& sums, T*) {
        if (!kIsBf16<C> && !op.bias) return;
        const T* bias = op.bias ? op.bias.as<T>() + strip.col : nullptr;
        for (std::int64_t row = 0; row < strip.rows; ++row) {
          Y* y = op.y.as<Y>() + (strip.row + row) * sizes.out + strip.col;
          const T* from = sums.at(row);
          each_vector<T>(strip.cols, [&](std::int64_t i, const auto& access) {
            write_or_stream(access, y + i, access.load(from + i) + load_or(bias, i, T{0}, access),
                            past_caches);
          });
        }
        if (past_caches) finish_streaming();
      });
}

template <class C, class Gelu>
void forward_gelu(Context& context, const LinearGeluForward& op, const Gelu& gelu) {
  using T = Wide<C>;
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const DropoutMask<T> dropout(op.dropout);
  // In f32 the sums lie where pre goes, or without it y: lines that are in the caches already.
  const bool pre_past_caches =
      kIsBf16<C> && op.pre && streams(Rows<C>{op.pre.as<C>(), sizes.out}, sizes.rows());
  const bool past_caches = (kIsBf16<C> || op.pre) && streams(Rows<C>{op.y.as<C>(), sizes.out}, sizes.rows());
  each_strip<C>(
      context, sizes, op,
      [&](const Tile& tile) { return place_of<C>(op.pre ? op.pre : op.y, sizes.out, tile); },
      [&](const Tile& strip, const Rows<T>& sums, T* memory) {
        const Gelu here = gelu;
        const T* bias = op.bias ? op.bias.as<T>() + strip.col : nullptr;
        for (std::int64_t row = 0; row < strip.rows; ++row) {
          const std::int64_t at = (strip.row + row) * sizes.out + strip.col;
          C* y = op.y.as<C>() + at;
          C* pre = op.pre ? op.pre.as<C>() + at : nullptr;
          const T* from = sums.at(row);
          const T* mask =
              mask_of_row(dropout, memory, sizes, sizes.out, strip.row + row, strip.col, strip.cols);
          each_vector<T>(strip.cols, [&](std::int64_t i, const auto& access) {
            Vec<T> x = access.load(from + i) + load_or(bias, i, T{0}, access);
            if (pre) {
              x = rounded_to<C>(x);  // as it is kept, so that GeluForward gives the same
              write_or_stream(access, pre + i, x, pre_past_caches);
            }
            write_or_stream(access, y + i, here.template y<T>(x) * load_or(mask, i, T{1}, access),
                            past_caches);
          });
        }
        if (past_caches) finish_streaming();
      });
}

template <class C>
void forward_gelu(Context& context, const LinearGeluForward& op) {
  with_gelu<C>(op.gelu, [&](const auto& gelu) { forward_gelu<C>(context, op, gelu); });
}

template <class C>
void forward_residual(Context& context, const LinearResidualForward& op) {
  using T = Wide<C>;
  const Sizes sizes = sizes_of(op.x.shape, op.y.shape);
  const DropoutMask<T> dropout(op.dropout);
  const DropoutMask<T> drop_path(op.drop_path);
  each_strip<C>(
      context, sizes, op, [&](const Tile& tile) { return place_of<C>(op.branch, sizes.out, tile); },
      [&](const Tile& strip, const Rows<T>& sums, T* memory) {
        const T* bias = op.bias ? op.bias.as<T>() + strip.col : nullptr;
        const T* gamma = op.gamma ? op.gamma.as<T>() + strip.col : nullptr;
        for (std::int64_t row = 0; row < strip.rows; ++row) {
          const std::int64_t at = (strip.row + row) * sizes.out + strip.col;
          const T* residual = op.residual.as<T>() + at;
          T* y = op.y.as<T>() + at;
          C* branch = op.branch ? op.branch.as<C>() + at : nullptr;
          const T* from = sums.at(row);
          const T path = drop_path.of_sample((strip.row + row) / sizes.tokens);
          const T* mask =
              mask_of_row(dropout, memory, sizes, sizes.out, strip.row + row, strip.col, strip.cols);
          each_vector<T>(strip.cols, [&](std::int64_t i, const auto& access) {
            Vec<T> value = access.load(from + i) + load_or(bias, i, T{0}, access);
            if (mask) value *= access.load(mask + i);
            if (branch) write(access, branch + i, value);
            access.store(y + i, access.load(residual + i) + path * load_or(gamma, i, T{1}, access) * value);
          });
        }
      });
}

}  // namespace

void execute(Context& context, const LinearForward& op) {
  if (op.x.dtype == DType::f64) return forward<double, double>(context, op);
  if (op.x.dtype == DType::f32) return forward<float, float>(context, op);
  op.y.dtype == DType::f32 ? forward<Bf16, float>(context, op) : forward<Bf16, Bf16>(context, op);
}

void execute(Context& context, const LinearGeluForward& op) {
  if (op.x.dtype == DType::f64) return forward_gelu<double>(context, op);
  if (op.x.dtype == DType::f32) return forward_gelu<float>(context, op);
  forward_gelu<Bf16>(context, op);
}

void execute(Context& context, const LinearResidualForward& op) {
  if (op.x.dtype == DType::f64) return forward_residual<double>(context, op);
  if (op.x.dtype == DType::f32) return forward_residual<float>(context, op);
  forward_residual<Bf16>(context, op);
}

}  // namespace vitrail::cpu::VITRAIL_ISA
