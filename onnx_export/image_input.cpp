#include "onnx_export/image_input.h"

#include <algorithm>
#include <cmath>

namespace vitrail::onnx_export {
namespace {

// Pillow's resize and torchvision's CenterCrop (engine/data/transform.cpp), for any size.
class Preparation {
 public:
  Preparation(Graph& graph, const InputConfig& input) : graph_(graph), input_(input) {}

  // x (batch, channels, height, width) of samples
  Value run(const Value& x) {
    const Value extents = graph_.add("sizes", "Shape", {x}, {{2}, Type::i64},
                                     {{"end", std::int64_t{4}}, {"start", std::int64_t{2}}});
    const Value sizes = resized_extents(extents);
    // Across, then down, whole samples after each.
    const Value across = whole(resize("resize/across", x, sizes, 3));
    return crop(whole(resize("resize/down", across, sizes, 2)), sizes);
  }

 private:
  Value number(std::int64_t value) { return graph_.integers("size." + std::to_string(value), {value}); }
  Value both(const char* op, const Value& a, const Value& b) { return graph_.map("sizes", op, a, b); }

  // The short side as training has it, the long one in proportion, rounded down.
  Value resized_extents(const Value& extents) {
    const double target = std::floor(static_cast<double>(input_.size) / input_.crop_pct);
    const Value shorter = graph_.add("sizes", "ReduceMin", {extents, graph_.integers("axis0", {0})},
                                     {{1}, Type::i64}, {{"keepdims", std::int64_t{1}}});
    return both("Div", both("Mul", extents, number(static_cast<std::int64_t>(target))), shorter);
  }

  // Antialiased; weights beyond the border are left out, and cubic's coefficient is Pillow's.
  Value resize(const std::string& scope, const Value& x, const Value& sizes, std::int64_t axis) {
    const bool cubic = input_.interpolation == Interpolation::bicubic;
    const Value size = graph_.slice_rows(scope, sizes, axis - 2, 1, 0);
    Dims dims = x.dims;
    dims[static_cast<std::size_t>(axis)] = kOpen;
    const Value none;
    return graph_.add(scope, "Resize", {x, none, none, size}, {std::move(dims)},
                      {{"antialias", std::int64_t{1}},
                       {"axes", Dims{axis}},
                       {"coordinate_transformation_mode", std::string("half_pixel")},
                       {"cubic_coeff_a", -0.5},
                       {"exclude_outside", std::int64_t{1}},
                       {"mode", std::string(cubic ? "cubic" : "linear")}});
  }

  Value whole(const Value& x) {
    const Value y =
        graph_.map("resize", "Floor", graph_.map("resize", "Add", x, graph_.scalar("half", 0.5f)));
    return graph_.add("resize", "Clip", {y, graph_.scalar("darkest", 0), graph_.scalar("brightest", 255)},
                      {y.dims});
  }

  // The centre; half of an odd surplus is rounded to even.
  Value crop(const Value& x, const Value& sizes) {
    const Value size = number(input_.size), two = number(2);
    const Value surplus = both("Sub", sizes, size);
    const Value half = both("Div", surplus, two);
    const Value odd = both("Sub", surplus, both("Mul", half, two));
    const Value half_odd = both("Sub", half, both("Mul", both("Div", half, two), two));
    const Value begin = both("Add", half, both("Mul", odd, half_odd));
    return graph_.add("crop", "Slice",
                      {x, begin, both("Add", begin, size), graph_.integers("axes23", {2, 3})},
                      {{x.dims[0], x.dims[1], input_.size, input_.size}});
  }

  Graph& graph_;
  const InputConfig& input_;
};

}  // namespace

Value image_input(Graph& graph, const InputConfig& input, const ExportOptions& options) {
  const std::int64_t batch = graph.batch(), size = input.size;
  if (options.input == InputKind::floats) return graph.input("images", {batch, input.channels, size, size});
  const std::int64_t height = options.any_size ? kHeight : size, width = options.any_size ? kWidth : size;
  const bool last = options.layout == SampleLayout::nhwc;
  const Dims dims =
      last ? Dims{batch, height, width, input.channels} : Dims{batch, input.channels, height, width};
  Value x = graph.cast("images", graph.input("images", dims, Type::u8), Type::f32);
  if (last) x = graph.transpose("images", x, {0, 3, 1, 2});
  return options.any_size ? Preparation(graph, input).run(x) : x;
}

}  // namespace vitrail::onnx_export
