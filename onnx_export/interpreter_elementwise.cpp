#include <fmt/format.h>

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

#include "onnx_export/interpreter_broadcast.h"
#include "onnx_export/interpreter_op.h"

namespace vitrail::onnx_export::reference {
namespace {

// y = f(a, b), of floats or of integers
template <class T, class F>
void combine(const T* a, const T* b, T* y, const Dims& dims, const std::array<Dims, 2>& steps, const F& f) {
  const std::int64_t length = dims.empty() ? 1 : dims.back();
  const std::int64_t step_a = dims.empty() ? 0 : steps[0].back(), step_b = dims.empty() ? 0 : steps[1].back();
  for_each_row<2>(dims, steps, [&](std::int64_t out, const std::array<std::int64_t, 2>& from) {
    for (std::int64_t i = 0; i < length; ++i)
      y[out + i] = f(a[from[0] + i * step_a], b[from[1] + i * step_b]);
  });
}

// Integers wrap as their type does.
std::int64_t wrapped(Type type, std::uint64_t number) {
  switch (type) {
    case Type::u8:
      return static_cast<std::uint8_t>(number);
    case Type::i8:
      return static_cast<std::int8_t>(number);
    case Type::i32:
      return static_cast<std::int32_t>(number);
    case Type::boolean:
      return number != 0 ? 1 : 0;
    default:
      return static_cast<std::int64_t>(number);
  }
}

template <class F, class G>
void binary(NodeRun& run, const F& of_floats, const G& of_whole) {
  const Tensor &a = run.in(0), &b = run.in(1);
  if (a.type != b.type || a.type == Type::boolean)
    run.fail(fmt::format("expected two operands of one number type, found {} and {}", name_of(a.type),
                         name_of(b.type)));
  const Dims dims = broadcast(run, a.dims, b.dims);
  const std::array<Dims, 2> steps{steps_of(a.dims, dims), steps_of(b.dims, dims)};
  Tensor y = run.make(a.type, dims);
  if (is_float(a.type)) {
    combine(a.floats(), b.floats(), y.floats(), dims, steps, of_floats);
  } else {
    combine(a.whole(), b.whole(), y.whole(), dims, steps, [&](std::int64_t left, std::int64_t right) {
      return wrapped(a.type, of_whole(static_cast<std::uint64_t>(left), static_cast<std::uint64_t>(right)));
    });
  }
  run.out(0, std::move(y));
}

void add(NodeRun& run) {
  binary(
      run, [](float a, float b) { return a + b; }, [](std::uint64_t a, std::uint64_t b) { return a + b; });
}

void subtract(NodeRun& run) {
  binary(
      run, [](float a, float b) { return a - b; }, [](std::uint64_t a, std::uint64_t b) { return a - b; });
}

void multiply(NodeRun& run) {
  binary(
      run, [](float a, float b) { return a * b; }, [](std::uint64_t a, std::uint64_t b) { return a * b; });
}

void divide(NodeRun& run) {
  binary(
      run, [](float a, float b) { return a / b; },
      [&](std::uint64_t a, std::uint64_t b) {
        const auto dividend = static_cast<std::int64_t>(a), divisor = static_cast<std::int64_t>(b);
        if (divisor == 0) run.fail("division of an integer by zero");
        return divisor == -1 ? std::uint64_t{0} - a : static_cast<std::uint64_t>(dividend / divisor);
      });
}

template <class F>
void unary(NodeRun& run, const F& f) {
  const Tensor& x = run.floats(0);
  Tensor y = run.make(x.type, x.dims);
  for (std::int64_t i = 0; i < x.count(); ++i)
    y.floats()[i] = f(x.floats()[i]);
  run.out(0, std::move(y));
}

float sigmoid(float x) {
  return 1 / (1 + std::exp(-x));
}

float gelu_erf(float x) {
  return 0.5F * x * (1 + std::erf(x * (1 / std::numbers::sqrt2_v<float>)));
}

float gelu_tanh(float x) {
  const float root = std::sqrt(2 * std::numbers::inv_pi_v<float>);
  return 0.5F * x * (1 + std::tanh(root * (x + 0.044715F * x * x * x)));
}

void erf(NodeRun& run) {
  unary(run, [](float x) { return std::erf(x); });
}

void tanh(NodeRun& run) {
  unary(run, [](float x) { return std::tanh(x); });
}

void logistic(NodeRun& run) {
  unary(run, sigmoid);
}

void round_down(NodeRun& run) {
  unary(run, [](float x) { return std::floor(x); });
}

void swish(NodeRun& run) {
  const float alpha = static_cast<float>(run.number("alpha", 1));
  unary(run, [alpha](float x) { return x * sigmoid(alpha * x); });
}

void quick_gelu(NodeRun& run) {
  const float alpha = static_cast<float>(run.number("alpha", 1.702));
  unary(run, [alpha](float x) { return x * sigmoid(alpha * x); });
}

void gelu(NodeRun& run) {
  const std::string kind = run.text("approximate", "none");
  run.require(kind == "none" || kind == "tanh", "attribute approximate: expected none or tanh");
  unary(run, kind == "tanh" ? gelu_tanh : gelu_erf);
}

template <class F>
void biased(NodeRun& run, const F& f) {
  const Tensor& x = run.floats(0);
  const Tensor* bias = run.optional(1);
  if (bias == nullptr) return unary(run, f);
  run.floats(1);
  run.require(bias->rank() == 1 && !x.dims.empty() && bias->dims[0] == x.dims.back(),
              "the bias does not fit the last axis");
  run.require(bias->type == x.type, "the bias is of another type");
  Tensor y = run.make(x.type, x.dims);
  for (std::int64_t i = 0; i < x.count(); ++i)
    y.floats()[i] = f(x.floats()[i] + bias->floats()[i % bias->dims[0]]);
  run.out(0, std::move(y));
}

void bias_gelu(NodeRun& run) {
  biased(run, gelu_erf);
}

void fast_gelu(NodeRun& run) {
  biased(run, gelu_tanh);
}

// A float to an integer is cut off towards zero; what does not fit is the file's fault.
std::int64_t to_whole(const NodeRun& run, Type type, double x) {
  if (type == Type::boolean) return x != 0 ? 1 : 0;
  if (!(std::abs(x) < 0x1p62)) run.fail("a number that no integer can hold is cast to one");
  return wrapped(type, static_cast<std::uint64_t>(static_cast<std::int64_t>(x)));
}

void cast(NodeRun& run) {
  const Tensor& x = run.in(0);
  run.require(run.has("to"), "attribute to is missing");
  const Type to = checked_type(run.integer("to", 0), run.name());
  Tensor y = run.make(to, x.dims);
  for (std::int64_t i = 0; i < x.count(); ++i) {
    if (is_float(to)) {
      y.floats()[i] = is_float(x.type) ? x.floats()[i] : static_cast<float>(x.whole()[i]);
    } else {
      y.whole()[i] = is_float(x.type) ? to_whole(run, to, static_cast<double>(x.floats()[i]))
                                      : wrapped(to, static_cast<std::uint64_t>(x.whole()[i]));
    }
  }
  run.out(0, std::move(y));
}

// The smaller or larger of a number and a bound; NaN stays NaN.
void clip(NodeRun& run) {
  const Tensor& x = run.floats(0);
  const auto bound = [&](std::size_t i, float otherwise) {
    if (run.optional(i) == nullptr) return otherwise;
    const Tensor& limit = run.floats(i);
    run.require(limit.rank() == 0 && limit.type == x.type, "expected a bound that is one number of x's type");
    return limit.floats()[0];
  };
  const float infinity = std::numeric_limits<float>::infinity();
  const float low = bound(1, -infinity), high = bound(2, infinity);
  unary(run, [low, high](float value) {
    const float raised = value < low ? low : value;
    return raised > high ? high : raised;
  });
}

const std::vector<Op> kElementwiseOps = {
    {"", "Add", 14, 2, 2, 1, {}, add},
    {"", "Sub", 14, 2, 2, 1, {}, subtract},
    {"", "Mul", 14, 2, 2, 1, {}, multiply},
    {"", "Div", 14, 2, 2, 1, {}, divide},
    {"", "Erf", 13, 1, 1, 1, {}, erf},
    {"", "Tanh", 13, 1, 1, 1, {}, tanh},
    {"", "Sigmoid", 13, 1, 1, 1, {}, logistic},
    {"", "Floor", 13, 1, 1, 1, {}, round_down},
    {"", "Clip", 13, 1, 3, 1, {}, clip},
    {"", "Gelu", 20, 1, 1, 1, {{"approximate", kString}}, gelu},
    {"", "Swish", 24, 1, 1, 1, {{"alpha", kFloat}}, swish},
    {"", "Cast", 13, 1, 1, 1, {{"to", kInt}, {"saturate", kInt}}, cast},
    {kMicrosoft, "Gelu", 1, 1, 1, 1, {}, [](NodeRun& run) { unary(run, gelu_erf); }},
    {kMicrosoft, "BiasGelu", 1, 2, 2, 1, {}, bias_gelu},
    {kMicrosoft, "FastGelu", 1, 1, 2, 1, {}, fast_gelu},
    {kMicrosoft, "QuickGelu", 1, 1, 1, 1, {{"alpha", kFloat}}, quick_gelu},
};

}  // namespace

std::span<const Op> elementwise_ops() {
  return kElementwiseOps;
}

}  // namespace vitrail::onnx_export::reference
