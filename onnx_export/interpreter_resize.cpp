#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "onnx_export/interpreter_op.h"

namespace vitrail::onnx_export::reference {
namespace {

// How far an output reaches for its inputs, and with which weight (onnx/onnx docs/Operators.md, Resize).
struct Filter {
  bool cubic = false, antialias = false, exclude_outside = false;
  double a = -0.75;  // of the cubic

  double reach() const { return cubic ? 2 : 1; }
  double weight(double distance) const {
    const double x = std::abs(distance);
    if (!cubic) return std::max(0.0, 1 - x);
    if (x <= 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
  }
};

// One output of an axis: weights of the inputs from `first` on, which may lie outside.
struct Taps {
  std::int64_t first = 0;
  std::vector<double> weights;
};

Taps taps_at(const Filter& filter, double place, double scale, std::int64_t extent) {
  const double narrow = filter.antialias ? std::min(1.0, scale) : 1;
  const double reach = filter.reach() / narrow;
  Taps taps{.first = static_cast<std::int64_t>(std::floor(place - reach)) + 1, .weights = {}};
  const auto last = static_cast<std::int64_t>(std::ceil(place + reach)) - 1;
  double sum = 0;
  for (std::int64_t i = taps.first; i <= last; ++i) {
    const bool outside = filter.exclude_outside && (i < 0 || i >= extent);
    taps.weights.push_back(outside ? 0 : filter.weight((static_cast<double>(i) - place) * narrow));
    sum += taps.weights.back();
  }
  if (filter.exclude_outside || filter.antialias) {
    for (double& weight : taps.weights)
      weight /= sum;
  }
  return taps;
}

// One axis; what lies outside is the edge.
Tensor resize_axis(const NodeRun& run, const Tensor& x, std::size_t axis, std::int64_t extent, double scale,
                   const Filter& filter, bool half_pixel) {
  Dims dims = x.dims;
  dims[axis] = extent;
  Tensor y = run.make(x.type, dims);
  const auto at = static_cast<std::ptrdiff_t>(axis);
  const std::int64_t outer =
      std::accumulate(dims.begin(), dims.begin() + at, std::int64_t{1}, std::multiplies<>());
  const std::int64_t inner =
      std::accumulate(dims.begin() + at + 1, dims.end(), std::int64_t{1}, std::multiplies<>());
  const std::int64_t length = x.dims[axis];
  for (std::int64_t i = 0; i < extent; ++i) {
    const double place =
        half_pixel ? (static_cast<double>(i) + 0.5) / scale - 0.5 : static_cast<double>(i) / scale;
    const Taps taps = taps_at(filter, place, scale, length);
    run.budget().work(outer, inner, static_cast<std::int64_t>(taps.weights.size()));
    for (std::int64_t o = 0; o < outer; ++o) {
      for (std::int64_t e = 0; e < inner; ++e) {
        double sum = 0;
        for (std::size_t t = 0; t < taps.weights.size(); ++t) {
          const std::int64_t from =
              std::clamp(taps.first + static_cast<std::int64_t>(t), std::int64_t{0}, length - 1);
          sum += taps.weights[t] * static_cast<double>(x.floats()[(o * length + from) * inner + e]);
        }
        y.floats()[(o * extent + i) * inner + e] = static_cast<float>(sum);
      }
    }
  }
  return y;
}

struct Plan {
  Dims axes, extents;
  std::vector<double> scales;
};

// By the sizes asked for: of those that keep the aspect ratio the larger or the smaller, or neither.
void plan_sizes(const NodeRun& run, const Tensor& x, Plan& plan) {
  const Dims sizes = run.whole(3);
  run.require(sizes.size() == plan.axes.size(), "one size for each axis is expected");
  double common = 0;
  const std::string policy = run.text("keep_aspect_ratio_policy", "stretch");
  run.require(policy == "stretch" || policy == "not_larger" || policy == "not_smaller",
              "attribute keep_aspect_ratio_policy: expected stretch, not_larger or not_smaller");
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    run.require(sizes[i] >= 1 && sizes[i] < (1 << 24), "sizes from 1 to 2^24 are expected");
    const double scale = static_cast<double>(sizes[i]) / static_cast<double>(x.extent(plan.axes[i]));
    plan.scales.push_back(scale);
    plan.extents.push_back(sizes[i]);
    const bool better = policy == "not_larger" ? scale < common : scale > common;
    if (i == 0 || better) common = scale;
  }
  if (policy == "stretch") return;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    plan.scales[i] = common;
    const double size = std::floor(common * static_cast<double>(x.extent(plan.axes[i])) + 0.5);
    run.require(size < (1 << 24), "sizes from 1 to 2^24 are expected");
    plan.extents[i] = std::max<std::int64_t>(1, static_cast<std::int64_t>(size));
  }
}

void plan_scales(const NodeRun& run, const Tensor& x, Plan& plan) {
  const Tensor& scales = run.floats(2);
  run.require(scales.rank() == 1 && scales.count() == static_cast<std::int64_t>(plan.axes.size()),
              "one scale for each axis is expected");
  for (std::size_t i = 0; i < plan.axes.size(); ++i) {
    const double scale = static_cast<double>(scales.floats()[i]);
    const double extent = std::floor(static_cast<double>(x.extent(plan.axes[i])) * scale);
    run.require(scale > 0 && extent >= 1 && extent < (1 << 24),
                "a scale leads to a size that is not from 1 to 2^24");
    plan.scales.push_back(scale);
    plan.extents.push_back(static_cast<std::int64_t>(extent));
  }
}

void resize(NodeRun& run) {
  Tensor x = run.floats(0);
  const std::string mode = run.text("mode", "nearest"),
                    place = run.text("coordinate_transformation_mode", "half_pixel");
  run.require(mode == "linear" || mode == "cubic",
              "attribute mode: this program computes linear and cubic only");
  run.require(
      place == "half_pixel" || place == "asymmetric",
      "attribute coordinate_transformation_mode: this program computes half_pixel and asymmetric only");
  Plan plan{.axes = run.integers("axes"), .extents = {}, .scales = {}};
  if (!run.has("axes")) {
    plan.axes.resize(x.dims.size());
    std::iota(plan.axes.begin(), plan.axes.end(), 0);
  }
  for (std::int64_t& axis : plan.axes)
    axis = static_cast<std::int64_t>(run.axis(axis, x));
  if (run.optional(3) != nullptr) {
    plan_sizes(run, x, plan);
  } else {
    plan_scales(run, x, plan);
  }
  const Filter filter{.cubic = mode == "cubic",
                      .antialias = run.integer("antialias", 0) != 0,
                      .exclude_outside = run.integer("exclude_outside", 0) != 0,
                      .a = run.number("cubic_coeff_a", -0.75)};
  for (std::size_t i = 0; i < plan.axes.size(); ++i) {
    const auto axis = static_cast<std::size_t>(plan.axes[i]);
    if (plan.scales[i] == 1 && plan.extents[i] == x.dims[axis]) continue;
    x = resize_axis(run, x, axis, plan.extents[i], plan.scales[i], filter, place == "half_pixel");
  }
  run.out(0, std::move(x));
}

const std::vector<Op> kResizeOps = {
    {"",
     "Resize",
     13,
     3,
     4,
     1,
     {{"antialias", kInt},
      {"axes", kInts},
      {"coordinate_transformation_mode", kString},
      {"cubic_coeff_a", kFloat},
      {"exclude_outside", kInt},
      {"extrapolation_value", kFloat},
      {"keep_aspect_ratio_policy", kString},
      {"mode", kString},
      {"nearest_mode", kString}},
     resize},
};

}  // namespace

std::span<const Op> resize_ops() {
  return kResizeOps;
}

}  // namespace vitrail::onnx_export::reference
