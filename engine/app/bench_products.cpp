#include "engine/app/bench_products.h"

#include "engine/app/bench_table.h"
#include "engine/narrow_weights.h"
#include "kernels/check.h"

namespace vitrail::app {
namespace {

constexpr int kRounds = 5;

// The operands of one linear layer, all zero: products take as long with any numbers.
struct Layer {
  Layer(Backend& backend, DType type, const WeightProducts& shape)
      : dtype(activations_dtype(type)),
        weights(type),
        sums(statistics_dtype(type)),
        x(backend, bytes(dtype, shape.rows * shape.in)),
        y(backend, bytes(dtype, shape.rows * shape.out)),
        dx(backend, shape.dx ? bytes(dtype, shape.rows * shape.in) : 0),
        weight(backend, bytes(type, shape.out * shape.in)),
        scale(backend, type == DType::int8 ? 2 * bytes(sums, shape.out) : 0),
        dweight(backend, shape.dweight ? bytes(sums, shape.out * shape.in) : 0) {}

  static std::size_t bytes(DType type, std::int64_t elements) {
    return static_cast<std::size_t>(elements) * size_of(type);
  }

  // Beside an int8 weight.
  QuantizedRows quantized(std::int64_t out) const {
    if (weights != DType::int8) return {};
    return {In{scale.data(), sums, {out}}, In{scale.data() + bytes(sums, out), sums, {out}}};
  }

  DType dtype, weights, sums;
  Buffer x, y, dx, weight, scale, dweight;
};

double median_seconds(Backend& backend, DType dtype, const WeightProducts& shape) {
  const Layer layer(backend, dtype, shape);
  const Shape in{1, shape.rows, shape.in}, out{1, shape.rows, shape.out}, weight{shape.out, shape.in};
  std::vector<double> seconds;
  for (int round = 0; round <= kRounds; ++round) {
    backend.set_profiling(true);  // by the device's clock
    if (shape.y) {
      backend.run(LinearForward{.y = {layer.y.data(), layer.dtype, out},
                                .x = {layer.x.data(), layer.dtype, in},
                                .weight = {layer.weight.data(), dtype, weight},
                                .bias = {},
                                .quantized = layer.quantized(shape.out)});
    } else {
      backend.run(LinearBackward{.dx = {layer.dx.data(), dtype, in},
                                 .dweight_acc = {layer.dweight.data(), layer.sums, weight},
                                 .dbias_acc = {},
                                 .dy = {layer.y.data(), dtype, out},
                                 .x = {layer.x.data(), dtype, in},
                                 .weight = {layer.weight.data(), dtype, weight}});
    }
    if (round > 0) seconds.push_back(backend.profile().begin()->second.seconds);  // the first one warms up
  }
  backend.set_profiling(false);
  return median(seconds);
}

}  // namespace

ProductsTime time_products(Backend& backend, DType dtype, const std::map<std::string, OpTime>& profile) {
  ProductsTime total;
  for (const auto& [name, op] : profile) {
    if (op.work.products.count() == 0) continue;
    total.seconds += median_seconds(backend, dtype, op.work.products) * double(op.calls);
    total.flops += op.work.flops;
  }
  return total;
}

}  // namespace vitrail::app
