#include <fmt/format.h>

#include <algorithm>

#include "onnx_export/interpreter_broadcast.h"
#include "onnx_export/interpreter_op.h"

namespace vitrail::onnx_export::reference {
namespace {

// What a product of stacks of matrices, a (…, n, k) · b (…, k, m), computes.
struct Stacks {
  std::int64_t n = 0, k = 0, m = 0;
  Dims dims;                                                 // of the result
  std::vector<std::pair<std::int64_t, std::int64_t>> pairs;  // which matrix of a and of b, in order

  Stacks(const NodeRun& run, const Tensor& a, const Tensor& b) {
    if (a.rank() < 2 || b.rank() < 2 || a.dims.back() != b.dims[b.dims.size() - 2])
      run.fail(fmt::format("expected matrices (…, n, k) and (…, k, m), found {} and {}", to_string(a.dims),
                           to_string(b.dims)));
    n = a.dims[a.dims.size() - 2];
    k = a.dims.back();
    m = b.dims.back();
    const Dims stack_a(a.dims.begin(), a.dims.end() - 2), stack_b(b.dims.begin(), b.dims.end() - 2);
    dims = broadcast(run, stack_a, stack_b);
    if (b.rank() == 2) {  // one matrix for all: one product
      n = a.count() / k;
      pairs.emplace_back(0, 0);
    } else {
      add_pairs(stack_a, stack_b);
    }
    dims.push_back(a.dims[a.dims.size() - 2]);
    dims.push_back(m);
  }

 private:
  void add_pairs(const Dims& stack_a, const Dims& stack_b) {
    Dims padded = dims;
    padded.push_back(1);
    std::array<Dims, 2> steps{steps_of(stack_a, dims), steps_of(stack_b, dims)};
    for (Dims& step : steps)
      step.push_back(0);
    for_each_row<2>(padded, steps, [&](std::int64_t, const std::array<std::int64_t, 2>& from) {
      pairs.emplace_back(from[0], from[1]);
    });
  }
};

void matmul(NodeRun& run) {
  const Tensor &a = run.floats(0), &b = run.floats(1);
  run.require(a.type == b.type, "expected two operands of one type");
  const Stacks stacks(run, a, b);
  Tensor y = run.make(a.type, stacks.dims);
  float* to = y.floats();
  for (const auto& [i, j] : stacks.pairs) {
    run.multiply(a.floats() + i * stacks.n * stacks.k, b.floats() + j * stacks.k * stacks.m, to, stacks.n,
                 stacks.k, stacks.m);
    to += stacks.n * stacks.m;
  }
  run.out(0, std::move(y));
}

// The patches that a convolution without padding looks at, as rows (batch·rows·columns, C·KH·KW).
struct Patches {
  std::int64_t batch, channels, height, width, kernel_y, kernel_x, step_y, step_x, rows, columns;

  Patches(const NodeRun& run, const Tensor& x, const Tensor& weight) {
    run.require(x.rank() == 4 && weight.rank() == 4 && x.type == weight.type,
                "expected images (B, C, H, W) and weights (M, C, KH, KW) of one type");
    const auto all = [&](const char* name, std::int64_t expected) {
      for (const std::int64_t number : run.integers(name))
        run.require(number == expected,
                    fmt::format("attribute {}: this program computes {} only", name, expected));
    };
    all("pads", 0);
    all("dilations", 1);
    run.only("group", 1);
    const std::string padding = run.text("auto_pad", "NOTSET");
    run.require(padding == "NOTSET" || padding == "VALID", "attribute auto_pad: expected NOTSET or VALID");
    batch = x.dims[0], channels = x.dims[1], height = x.dims[2], width = x.dims[3];
    kernel_y = weight.dims[2], kernel_x = weight.dims[3];
    run.require(weight.dims[1] == channels, "the weights are for another number of channels");
    run.require(kernel_y <= height && kernel_x <= width, "the kernel is larger than the image");
    const Dims kernel = run.integers("kernel_shape"), steps = run.integers("strides");
    run.require(kernel.empty() || kernel == Dims{kernel_y, kernel_x},
                "kernel_shape is not that of the weights");
    run.require(steps.empty() || (steps.size() == 2 && steps[0] >= 1 && steps[1] >= 1),
                "attribute strides: expected two numbers from 1");
    step_y = steps.empty() ? 1 : steps[0], step_x = steps.empty() ? 1 : steps[1];
    rows = (height - kernel_y) / step_y + 1, columns = (width - kernel_x) / step_x + 1;
  }

  std::int64_t size() const { return channels * kernel_y * kernel_x; }

  void gather(const float* x, float* to) const {
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t c = 0; c < columns; ++c) {
          for (std::int64_t channel = 0; channel < channels; ++channel) {
            for (std::int64_t ky = 0; ky < kernel_y; ++ky) {
              const float* from =
                  x + ((b * channels + channel) * height + r * step_y + ky) * width + c * step_x;
              to = std::copy_n(from, kernel_x, to);
            }
          }
        }
      }
    }
  }
};

void conv(NodeRun& run) {
  const Tensor &x = run.floats(0), &weight = run.floats(1);
  const Patches patches(run, x, weight);
  const std::int64_t outs = weight.dims[0], count = patches.batch * patches.rows * patches.columns;
  Tensor seen = run.make(x.type, {count, patches.size()});
  patches.gather(x.floats(), seen.floats());
  Tensor turned = run.make(x.type, {patches.size(), outs});
  for (std::int64_t o = 0; o < outs; ++o) {
    for (std::int64_t i = 0; i < patches.size(); ++i)
      turned.floats()[i * outs + o] = weight.floats()[o * patches.size() + i];
  }
  Tensor rows = run.make(x.type, {count, outs});
  run.multiply(seen.floats(), turned.floats(), rows.floats(), count, patches.size(), outs);
  const Tensor* bias = run.optional(2) == nullptr ? nullptr : &run.floats(2);
  run.require(bias == nullptr || (bias->dims == Dims{outs} && bias->type == x.type), "the bias does not fit");
  Tensor y = run.make(x.type, {patches.batch, outs, patches.rows, patches.columns});
  const std::int64_t area = patches.rows * patches.columns;
  for (std::int64_t i = 0; i < count; ++i) {
    for (std::int64_t o = 0; o < outs; ++o)
      y.floats()[(i / area * outs + o) * area + i % area] =
          rows.floats()[i * outs + o] + (bias == nullptr ? 0 : bias->floats()[o]);
  }
  run.out(0, std::move(y));
}

// a as doubles, less the zero point: one number, or one for each row or column of the matrices.
std::vector<double> centred(const NodeRun& run, const Tensor& x, const Tensor* zero, bool by_column) {
  run.require(x.type == Type::u8 || x.type == Type::i8, "expected operands in uint8 or int8");
  const std::int64_t rows = x.rank() < 2 ? 1 : x.dims[x.dims.size() - 2], columns = x.dims.back();
  const std::int64_t zeros = zero == nullptr ? 1 : zero->count();
  run.require(zero == nullptr || (zero->type == x.type && zero->rank() <= 1 &&
                                  (zeros == 1 || zeros == (by_column ? columns : rows))),
              "a zero point does not fit its operand");
  std::vector<double> result(static_cast<std::size_t>(x.count()));
  for (std::int64_t i = 0; i < x.count(); ++i) {
    const std::int64_t place = zeros == 1 ? 0 : by_column ? i % columns : i / columns % rows;
    result[static_cast<std::size_t>(i)] =
        static_cast<double>(x.whole()[i] - (zero == nullptr ? 0 : zero->whole()[place]));
  }
  return result;
}

// In f64, which is exact: no sum of at most 2^31 products of two bytes reaches 2^53.
void matmul_integer(NodeRun& run) {
  const Tensor &a = run.in(0), &b = run.in(1);
  const Stacks stacks(run, a, b);
  run.require(stacks.k < (std::int64_t{1} << 31), "too many products in a sum");
  const std::vector<double> left = centred(run, a, run.optional(2), false);
  const std::vector<double> right = centred(run, b, run.optional(3), true);
  Tensor y = run.make(Type::i32, stacks.dims);
  std::vector<double> product(static_cast<std::size_t>(stacks.n * stacks.m));
  std::int64_t* to = y.whole();
  for (const auto& [i, j] : stacks.pairs) {
    run.multiply(left.data() + i * stacks.n * stacks.k, right.data() + j * stacks.k * stacks.m,
                 product.data(), stacks.n, stacks.k, stacks.m);
    for (const double sum : product)
      *to++ = static_cast<std::int32_t>(static_cast<std::int64_t>(sum));
  }
  run.out(0, std::move(y));
}

const std::vector<Op> kProductsOps = {
    {"", "MatMul", 13, 2, 2, 1, {}, matmul},
    {"",
     "Conv",
     11,
     2,
     3,
     1,
     {{"auto_pad", kString},
      {"dilations", kInts},
      {"group", kInt},
      {"kernel_shape", kInts},
      {"pads", kInts},
      {"strides", kInts}},
     conv},
    {"", "MatMulInteger", 10, 2, 4, 1, {}, matmul_integer},
};

}  // namespace

std::span<const Op> product_ops() {
  return kProductsOps;
}

}  // namespace vitrail::onnx_export::reference
