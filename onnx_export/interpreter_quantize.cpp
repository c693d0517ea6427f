#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "onnx_export/interpreter_op.h"

namespace vitrail::onnx_export::reference {
namespace {

struct Range {
  std::int64_t low, high;
};

Range range_of(const NodeRun& run, Type type) {
  if (type == Type::u8) return {0, 255};
  if (type == Type::i8) return {-128, 127};
  if (type == Type::i32) return {INT32_MIN, INT32_MAX};
  run.fail(fmt::format("expected quantized numbers in uint8, int8 or int32, found {}", name_of(type)));
}

// To the nearest, ties to even; NaN becomes the lower end.
std::int64_t quantized(float x, float scale, std::int64_t zero, const Range& range) {
  const float rounded = std::nearbyint(x / scale) + static_cast<float>(zero);
  if (!(rounded > static_cast<float>(range.low))) return range.low;
  return rounded >= static_cast<float>(range.high) ? range.high : static_cast<std::int64_t>(rounded);
}

// Which scale and zero point an element of x has: one for all, or one for each index of an axis.
struct Scales {
  const Tensor& scale;
  const Tensor* zero;
  std::int64_t extent = 1, inner = 1;

  Scales(const NodeRun& run, const Tensor& x, Type type) : scale(run.floats(1)), zero(run.optional(2)) {
    run.only("block_size", 0);
    run.require(scale.count() == 1 || scale.rank() == 1,
                "expected one scale or one for each index of an axis");
    run.require(
        zero == nullptr || (zero->type == type && zero->count() == scale.count() && zero->rank() <= 1),
        "the zero points do not fit the scales or the quantized type");
    if (scale.count() == 1) return;
    const std::size_t axis = run.axis(run.integer("axis", 1), x);
    extent = x.dims[axis];
    run.require(scale.count() == extent, fmt::format("expected {} scales, found {}", extent, scale.count()));
    for (std::size_t i = axis + 1; i < x.dims.size(); ++i)
      inner *= x.dims[i];
  }
  std::int64_t place(std::int64_t element) const { return element / inner % extent; }
  std::int64_t zero_at(std::int64_t place) const { return zero == nullptr ? 0 : zero->whole()[place]; }
};

void quantize(NodeRun& run) {
  const Tensor& x = run.floats(0);
  const Type type = run.optional(2) != nullptr ? run.in(2).type
                    : run.integer("output_dtype", 0) != 0
                        ? checked_type(run.integer("output_dtype", 0), run.name())
                        : Type::u8;
  const Range range = range_of(run, type);
  const Scales scales(run, x, type);
  Tensor y = run.make(type, x.dims);
  for (std::int64_t i = 0; i < x.count(); ++i) {
    const std::int64_t place = scales.place(i);
    y.whole()[i] = quantized(x.floats()[i], scales.scale.floats()[place], scales.zero_at(place), range);
  }
  run.out(0, std::move(y));
}

void dequantize(NodeRun& run) {
  const Tensor& x = run.in(0);
  (void)range_of(run, x.type);
  const Scales scales(run, x, x.type);
  Tensor y = run.make(scales.scale.type, x.dims);
  for (std::int64_t i = 0; i < x.count(); ++i) {
    const std::int64_t place = scales.place(i);
    y.floats()[i] = static_cast<float>(x.whole()[i] - scales.zero_at(place)) * scales.scale.floats()[place];
  }
  run.out(0, std::move(y));
}

// The range of x with 0 in it, on 0 to 255; of a tensor of zeros the scale is 1, as in onnxruntime.
void dynamic_quantize(NodeRun& run) {
  const Tensor& x = run.floats(0);
  run.require(x.type == Type::f32, "expected float32");
  float low = 0, high = 0;
  for (const float element : x.elements->floats) {
    low = std::min(low, element);
    high = std::max(high, element);
  }
  const float scale = high > low ? (high - low) / 255 : 1;
  const std::int64_t zero = quantized(-low, scale, 0, {0, 255});
  Tensor y = run.make(Type::u8, x.dims), scale_out = run.make(Type::f32, {}),
         zero_out = run.make(Type::u8, {});
  for (std::int64_t i = 0; i < x.count(); ++i)
    y.whole()[i] = quantized(x.floats()[i], scale, zero, {0, 255});
  scale_out.floats()[0] = scale;
  zero_out.whole()[0] = zero;
  run.out(0, std::move(y));
  run.out(1, std::move(scale_out));
  run.out(2, std::move(zero_out));
}

const std::vector<Op> kQuantizeOps = {
    {"",
     "QuantizeLinear",
     13,
     2,
     3,
     1,
     {{"axis", kInt}, {"block_size", kInt}, {"output_dtype", kInt}, {"precision", kInt}, {"saturate", kInt}},
     quantize},
    {"",
     "DequantizeLinear",
     13,
     2,
     3,
     1,
     {{"axis", kInt}, {"block_size", kInt}, {"output_dtype", kInt}},
     dequantize},
    {"", "DynamicQuantizeLinear", 11, 1, 1, 3, {}, dynamic_quantize},
};

}  // namespace

std::span<const Op> quantize_ops() {
  return kQuantizeOps;
}

}  // namespace vitrail::onnx_export::reference
