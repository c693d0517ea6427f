#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "onnx_export/interpreter_op.h"
#include "onnx_export/interpreter_softmax.h"

namespace vitrail::onnx_export::reference {
namespace {

// x cut at an axis: outer · extent · inner elements
struct Along {
  std::int64_t outer = 1, extent = 1, inner = 1;
  Along(const Tensor& x, std::size_t axis) : extent(x.dims[axis]) {
    for (std::size_t i = 0; i < x.dims.size(); ++i)
      (i < axis ? outer : inner) *= i == axis ? 1 : x.dims[i];
  }
};

std::int64_t product(Dims::const_iterator begin, Dims::const_iterator end) {
  return std::accumulate(begin, end, std::int64_t{1}, std::multiplies<>());
}

// y = (x − mean) / √(variance + ε) · weight + bias by rows, with sums in f64
void normalize(const float* x, const Tensor& weight, const Tensor* bias, double epsilon, std::int64_t rows,
               std::int64_t size, float* y) {
  for (std::int64_t row = 0; row < rows; ++row, x += size, y += size) {
    double sum = 0, squares = 0;
    for (std::int64_t i = 0; i < size; ++i)
      sum += static_cast<double>(x[i]);
    const double mean = sum / static_cast<double>(size);
    for (std::int64_t i = 0; i < size; ++i)
      squares += (static_cast<double>(x[i]) - mean) * (static_cast<double>(x[i]) - mean);
    const double scale = 1 / std::sqrt(squares / static_cast<double>(size) + epsilon);
    for (std::int64_t i = 0; i < size; ++i) {
      const auto normed = static_cast<float>((static_cast<double>(x[i]) - mean) * scale);
      y[i] = normed * weight.floats()[i] + (bias == nullptr ? 0 : bias->floats()[i]);
    }
  }
}

void layer_norm(NodeRun& run) {
  const Tensor &x = run.floats(0), &weight = run.floats(1);
  const Tensor* bias = run.optional(2) == nullptr ? nullptr : &run.floats(2);
  run.only("stash_type", 1);
  const std::size_t axis = run.axis(run.integer("axis", -1), x);
  const auto split = x.dims.begin() + static_cast<std::ptrdiff_t>(axis);
  const Dims normed(split, x.dims.end());
  for (const Tensor* part : {&weight, bias})
    run.require(part == nullptr || (part->dims == normed && part->type == x.type),
                fmt::format("scale and bias of {} and x's type are expected", to_string(normed)));
  Tensor y = run.make(x.type, x.dims);
  normalize(x.floats(), weight, bias, run.number("epsilon", 1e-5), product(x.dims.begin(), split),
            product(split, x.dims.end()), y.floats());
  run.out(0, std::move(y));
}

// Of com.microsoft: x + skip (+ bias) is the fourth output, its layer norm the first.
void skip_layer_norm(NodeRun& run) {
  const Tensor &x = run.floats(0), &skip = run.floats(1), &gamma = run.floats(2);
  const Tensor* beta = run.optional(3) == nullptr ? nullptr : &run.floats(3);
  const Tensor* bias = run.optional(4) == nullptr ? nullptr : &run.floats(4);
  run.require(!x.dims.empty() && skip.dims == x.dims && skip.type == x.type,
              "expected x and skip of one shape and type");
  const std::int64_t size = x.dims.back();
  for (const Tensor* row : {&gamma, beta, bias})
    run.require(row == nullptr || (row->dims == Dims{size} && row->type == x.type),
                "gamma, beta and bias of x's last extent and type are expected");
  run.require(run.outputs() < 2 || run.outputs() == 4, "this program computes outputs 1 and 4 only");
  Tensor sum = run.make(x.type, x.dims);
  for (std::int64_t i = 0; i < x.count(); ++i)
    sum.floats()[i] = x.floats()[i] + skip.floats()[i] + (bias == nullptr ? 0 : bias->floats()[i % size]);
  Tensor y = run.make(x.type, x.dims);
  normalize(sum.floats(), gamma, beta, run.number("epsilon", 1e-12), x.count() / size, size, y.floats());
  run.out(0, std::move(y));
  run.out(3, std::move(sum));
}

void softmax(NodeRun& run) {
  const Tensor& x = run.floats(0);
  const Along along(x, run.axis(run.integer("axis", -1), x));
  Tensor y = run.make(x.type, x.dims);
  for (std::int64_t o = 0; o < along.outer; ++o) {
    for (std::int64_t i = 0; i < along.inner; ++i) {
      const std::int64_t first = o * along.extent * along.inner + i;
      softmax_row(x.floats() + first, y.floats() + first, along.extent, along.inner);
    }
  }
  run.out(0, std::move(y));
}

// The axes of a reduction, in order; all of them when none is named. An attribute before opset `as_input`, an
// input from then on.
Dims reduced_axes(const NodeRun& run, const Tensor& x, std::int64_t as_input) {
  const bool input = run.opset() >= as_input;
  run.require(!run.has("axes") || !input, "axes are an input in this opset, found an attribute");
  run.require(run.inputs() < 2 || input, "axes are an attribute in this opset, found an input");
  run.only("noop_with_empty_axes", 0);
  Dims axes(x.dims.size());
  std::iota(axes.begin(), axes.end(), 0);
  if (!(input ? run.optional(1) != nullptr : run.has("axes"))) return axes;
  axes = input ? run.whole(1) : run.integers("axes");
  for (std::int64_t& axis : axes)
    axis = static_cast<std::int64_t>(run.axis(axis, x));
  std::sort(axes.begin(), axes.end());
  run.require(std::adjacent_find(axes.begin(), axes.end()) == axes.end(), "an axis is named twice");
  return axes;
}

// y = fold(first element, extent, step) along each of the axes, the last of them first
template <class Fold>
void reduce(NodeRun& run, std::int64_t as_input, const Fold& fold) {
  Tensor x = run.in(0);
  const Dims axes = reduced_axes(run, x, as_input);
  const bool keep = run.integer("keepdims", 1) != 0;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    const Along along(x, static_cast<std::size_t>(*axis));
    Dims dims = x.dims;
    dims[static_cast<std::size_t>(*axis)] = 1;
    if (!keep) dims.erase(dims.begin() + *axis);
    Tensor y = run.make(x.type, dims);
    for (std::int64_t o = 0; o < along.outer; ++o) {
      for (std::int64_t i = 0; i < along.inner; ++i)
        fold(x, o * along.extent * along.inner + i, along, y, o * along.inner + i);
    }
    x = std::move(y);
  }
  run.out(0, std::move(x));
}

void reduce_mean(NodeRun& run) {
  run.floats(0);
  reduce(run, 18, [](const Tensor& x, std::int64_t from, const Along& along, Tensor& y, std::int64_t to) {
    double sum = 0;
    for (std::int64_t e = 0; e < along.extent; ++e)
      sum += static_cast<double>(x.floats()[from + e * along.inner]);
    y.floats()[to] = static_cast<float>(sum / static_cast<double>(along.extent));
  });
}

void reduce_min(NodeRun& run) {
  run.require(run.in(0).type == Type::i64, "expected int64");
  reduce(run, 18, [](const Tensor& x, std::int64_t from, const Along& along, Tensor& y, std::int64_t to) {
    y.whole()[to] = x.whole()[from];
    for (std::int64_t e = 1; e < along.extent; ++e)
      y.whole()[to] = std::min(y.whole()[to], x.whole()[from + e * along.inner]);
  });
}

// Of equal numbers the one with the lower index comes first.
void top_k(NodeRun& run) {
  const Tensor& x = run.floats(0);
  const Dims wanted = run.whole(1);
  const std::size_t axis = run.axis(run.integer("axis", -1), x);
  run.require(wanted.size() == 1 && wanted[0] >= 1 && wanted[0] <= x.dims[axis],
              fmt::format("K from 1 to {} is expected", x.dims[axis]));
  run.only("sorted", 1);
  const bool largest = run.integer("largest", 1) != 0;
  const Along along(x, axis);
  Dims dims = x.dims;
  dims[axis] = wanted[0];
  Tensor values = run.make(x.type, dims), indices = run.make(Type::i64, dims);
  std::vector<std::int64_t> order(static_cast<std::size_t>(along.extent));
  for (std::int64_t o = 0; o < along.outer; ++o) {
    for (std::int64_t i = 0; i < along.inner; ++i) {
      const float* from = x.floats() + o * along.extent * along.inner + i;
      for (std::int64_t e = 0; e < along.extent; ++e)
        run.require(!std::isnan(from[e * along.inner]), "a NaN has no place in an order");
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
        const float left = from[a * along.inner], right = from[b * along.inner];
        return largest ? left > right : left < right;
      });
      for (std::int64_t k = 0; k < wanted[0]; ++k) {
        const std::int64_t to = (o * wanted[0] + k) * along.inner + i;
        values.floats()[to] = from[order[static_cast<std::size_t>(k)] * along.inner];
        indices.whole()[to] = order[static_cast<std::size_t>(k)];
      }
    }
  }
  run.out(0, std::move(values));
  run.out(1, std::move(indices));
}

const std::vector<Op> kRowsOps = {
    {"",
     "LayerNormalization",
     17,
     2,
     3,
     1,
     {{"axis", kInt}, {"epsilon", kFloat}, {"stash_type", kInt}},
     layer_norm},
    {"", "Softmax", 13, 1, 1, 1, {{"axis", kInt}}, softmax},
    {"",
     "ReduceMean",
     13,
     1,
     2,
     1,
     {{"axes", kInts}, {"keepdims", kInt}, {"noop_with_empty_axes", kInt}},
     reduce_mean},
    {"",
     "ReduceMin",
     13,
     1,
     2,
     1,
     {{"axes", kInts}, {"keepdims", kInt}, {"noop_with_empty_axes", kInt}},
     reduce_min},
    {"", "TopK", 11, 2, 2, 2, {{"axis", kInt}, {"largest", kInt}, {"sorted", kInt}}, top_k},
    {kMicrosoft, "SkipLayerNormalization", 1, 3, 5, 4, {{"epsilon", kFloat}}, skip_layer_norm},
};

}  // namespace

std::span<const Op> row_ops() {
  return kRowsOps;
}

}  // namespace vitrail::onnx_export::reference
