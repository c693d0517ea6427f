#include "onnx_export/ops.h"

#include <algorithm>

namespace vitrail::onnx_export {
namespace {

// Where onnxruntime has an operator of its own that does the same in one, the ort profile uses that.
constexpr unsigned kPrimitives = kPortable | kStatic | kModern;

constexpr Op kOps[] = {
    {"Add", "", {14}, kAnyProfile, "biases, residuals; int64 in kAnySize"},
    {"Attention",
     "",
     {23, 24},
     kModern,
     "q, k, v of rank 3, attributes q_num_heads, kv_num_heads; from opset 23"},
    {"Cast", "", {13, 19, 21, 23, 24}, kAnyProfile | kHalf | kInt8 | kBytes, "f32, f16, u8, i32 to f32, f16"},
    {"Clip", "", {13}, kModern | kAnySize, "to [0, 255], bounds as inputs"},
    {"Concat", "", {13}, kStatic, "prefix tokens before patch tokens"},
    {"Conv", "", {11, 22}, kAnyProfile, "the patch embedding: strides = kernel_shape, no padding"},
    {"DequantizeLinear",
     "",
     {13, 19, 21, 23, 24},
     kAnyProfile | kInt8,
     "i8 along an axis; u8 or i8 by tensor"},
    {"Div", "", {14}, kPrimitives, "gelu; int64 in kAnySize"},
    {"DynamicQuantizeLinear", "", {11}, kAnyProfile | kInt8, "activations of dynamic int8"},
    {"Erf", "", {13}, kPortable | kStatic, "gelu"},
    {"Floor", "", {13}, kModern | kAnySize, "rounding to whole samples"},
    {"Gelu", "", {20}, kModern, "approximate = none or tanh; from opset 20"},
    {"LayerNormalization", "", {17}, kAnyProfile, "the last axis"},
    {"MatMul", "", {13}, kAnyProfile, "f32 or f16; activations times (in, out), and inside attention"},
    {"MatMulInteger", "", {10}, kAnyProfile | kInt8, "u8 with a zero point times i8 without"},
    {"Mul", "", {14}, kAnyProfile, "gelu, the scale of attention, scales of int8; int64 in kAnySize"},
    {"Pad",
     "",
     {13, 18, 19, 21, 23, 24},
     kAnyProfile,
     "rows of zeros before the patch tokens, pads as an input"},
    {"QuantizeLinear", "", {13, 19, 21, 23, 24}, kAnyProfile | kInt8, "u8 or i8 by tensor"},
    {"ReduceMean", "", {13, 18}, kAnyProfile, "axes an attribute until 17, an input from 18; keepdims 0"},
    {"ReduceMin", "", {13, 18, 20}, kModern | kAnySize, "int64, axes as an input"},
    {"Reshape", "", {14, 19, 21, 23, 24}, kAnyProfile, "shape a constant without 0; -1 once, for the batch"},
    {"Resize",
     "",
     {13, 18, 19},
     kModern | kAnySize,
     "sizes as input; linear or cubic (-0.5), antialias 1, exclude_outside 1, half_pixel"},
    {"Shape", "", {15, 19, 21, 23, 24}, kModern | kAnySize, "start and end set"},
    {"Sigmoid", "", {13}, kPrimitives, "quick gelu"},
    {"Slice", "", {13}, kAnyProfile, "one axis, or two in kAnySize; steps 1, left out"},
    {"Softmax", "", {13}, kAnyProfile, "the last axis; attention and --output probabilities, topk"},
    {"Split", "", {13, 18}, kAnyProfile, "the last axis, sizes as an input"},
    {"Sub", "", {14}, kModern | kAnySize, "int64"},
    {"Swish", "", {24}, kModern, "quick gelu, with alpha 1.702; from opset 24"},
    {"Tanh", "", {13}, kPortable | kStatic, "tanh gelu"},
    {"TopK", "", {11, 24}, kAnyProfile | kOutputs, "last axis, largest, sorted; K a constant input"},
    {"Transpose", "", {13, 21, 23, 24}, kAnyProfile, "f32, f16; u8 never"},
    {"BiasGelu", kMicrosoft, {1}, kOrt, "erf gelu of x + bias"},
    {"FastGelu", kMicrosoft, {1}, kOrt, "tanh gelu of x + bias, or of x"},
    {"Gelu", kMicrosoft, {1}, kOrt, "erf gelu of x"},
    {"MultiHeadAttention",
     kMicrosoft,
     {1},
     kOrt,
     "q, k, v of rank 3, num_heads; bias (3 dim) as fourth input"},
    {"QuickGelu", kMicrosoft, {1}, kOrt, "alpha 1.702"},
    {"SkipLayerNormalization",
     kMicrosoft,
     {1},
     kOrt,
     "x, skip, weight, bias, and a bias of x; outputs 0 and 3 (the sum)"},
};

}  // namespace

std::int64_t Op::version_at(std::int64_t opset) const {
  if (domain == kMicrosoft) return versions[0];
  std::int64_t found = 0;
  for (const std::int64_t version : versions) {
    if (version > 0 && version <= opset) found = std::max(found, version);
  }
  return found;
}

std::span<const Op> ops() {
  return kOps;
}

const Op* find_op(std::string_view domain, std::string_view name) {
  const auto found = std::find_if(std::begin(kOps), std::end(kOps),
                                  [&](const Op& op) { return op.domain == domain && op.name == name; });
  return found == std::end(kOps) ? nullptr : found;
}

}  // namespace vitrail::onnx_export
