// Sources: microsoft/onnxruntime docs/OperatorKernels.md, docs/Versioning.md, js/web/docs/webgpu-operators.md
// and webnn-operators.md, tools/ci_build/github/apple/coreml_supported_mlprogram_ops.md; onnx/onnx-tensorrt
// docs/operators.md and NVIDIA's release notes of TensorRT 8.6, 10.0 and 10.14; openvinotoolkit/openvino
// #34184; Tencent/ncnn #4708 and pnnx/pnnx #182; alibaba/MNN tools/converter/source/onnx and #2832.
#include "onnx_export/runtimes.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace vitrail::onnx_export {
namespace {

const std::vector<std::string_view> kIntegerProducts = {"MatMulInteger", "DynamicQuantizeLinear"};

const std::vector<Runtime>& table() {
  static const std::vector<Runtime> runtimes = {
      {"onnxruntime, CPU", "1.17", 20, 9, true, true, false, true, true, {}},
      {"onnxruntime, CPU", "1.23", 24, 12, true, true, false, true, true, {}},
      {"onnxruntime, CUDA", "1.23", 24, 12, true, true, true, false, true, {"Attention", "MatMulInteger"}},
      {"onnxruntime, CUDA", "1.25", 24, 12, true, true, true, false, true, {"MatMulInteger"}},
      {"onnxruntime, DirectML",
       "1.23",
       21,
       10,
       true,
       true,
       true,
       false,
       true,
       {"Gelu", "Attention", "Swish"}},
      {"onnxruntime-web, WASM", "1.30", 24, 12, true, true, false, true, true, {}},
      {"onnxruntime-web, WebGPU",
       "1.30",
       24,
       12,
       true,
       true,
       true,
       false,
       true,
       {"Attention", "TopK", "Swish", "MatMulInteger", "DynamicQuantizeLinear"}},
      {"onnxruntime-web, WebNN",
       "1.30",
       24,
       12,
       true,
       false,
       true,
       false,
       true,
       {"Attention", "Swish", "Shape", "com.microsoft.SkipLayerNormalization", "com.microsoft.BiasGelu"}},
      {"onnxruntime, CoreML",
       "1.23",
       24,
       12,
       true,
       false,
       true,
       false,
       true,
       {"Pad", "TopK", "Attention", "Swish", "Floor", "ReduceMin", "MatMulInteger", "DynamicQuantizeLinear",
        "QuantizeLinear", "DequantizeLinear", "com.microsoft.MultiHeadAttention",
        "com.microsoft.SkipLayerNormalization", "com.microsoft.BiasGelu", "com.microsoft.FastGelu"}},
      {"TensorRT", "8.6", 17, 8, false, true, false, false, false, kIntegerProducts},
      {"TensorRT", "10.0", 20, 9, false, true, false, false, false, kIntegerProducts},
      {"TensorRT",
       "10.14",
       24,
       12,
       false,
       true,
       false,
       false,
       false,
       {"MatMulInteger", "DynamicQuantizeLinear", "Swish"}},
      {"OpenVINO", "2024.0", 20, 9, true, true, false, true, true, {}},
      {"OpenVINO", "2026.1", 23, 11, true, true, false, true, true, {}},
      {"ncnn, pnnx",
       "2024",
       17,
       8,
       false,
       false,
       false,
       false,
       false,
       {"MatMulInteger", "DynamicQuantizeLinear", "QuantizeLinear", "DequantizeLinear", "TopK"}},
      {"MNN", "2.9", 20, 9, false, false, false, false, true, {"Attention", "MatMulInteger"}},
  };
  return runtimes;
}

// What a graph asks of a runtime.
struct Demands {
  std::set<std::string> operators;
  std::int64_t opset = 0, ir_version = 0;
  bool microsoft = false, open_batch = false, antialias = false, zero_points = false;
};

bool is_open(const onnx::GraphProto& graph) {
  const auto& dims = graph.input(0).type().tensor_type().shape().dim();
  return std::any_of(dims.begin(), dims.end(), [](const auto& dim) { return !dim.has_dim_value(); });
}

Demands demands_of(const Graph& graph) {
  const onnx::ModelProto& model = graph.model();
  Demands demands;
  demands.opset = graph.opset();
  demands.ir_version = model.ir_version();
  demands.open_batch = is_open(model.graph());
  for (const onnx::NodeProto& node : model.graph().node()) {
    demands.operators.insert(node.domain().empty() ? node.op_type() : node.domain() + "." + node.op_type());
    demands.microsoft |= !node.domain().empty();
    demands.antialias |= node.op_type() == "Resize";
  }
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    demands.zero_points |= tensor.name().ends_with(".zero") && tensor.raw_data() != std::string(1, '\0');
  }
  return demands;
}

// What the whole file must meet, whatever its nodes.
void judge_file(Judgement& judgement, const Runtime& runtime, const Demands& demands) {
  const auto refuse = [&](std::string reason) {
    judgement.verdict = Verdict::refuses;
    judgement.reasons.push_back(std::move(reason));
  };
  if (demands.opset > runtime.last_opset)
    refuse(fmt::format("reads opsets up to {}; the file has {}", runtime.last_opset, demands.opset));
  if (demands.ir_version > runtime.last_ir_version)
    refuse(fmt::format("reads IR versions up to {}; the file has {}", runtime.last_ir_version,
                       demands.ir_version));
  if (demands.microsoft && !runtime.microsoft)
    refuse("knows no operators of onnxruntime's own; use --profile portable");
  if (demands.open_batch && !runtime.open_batch) refuse("wants every extent fixed; use --profile static");
  if (demands.zero_points && !runtime.zero_points)
    refuse("wants zero points of 0; use --profile portable, static or modern");
}

void judge_nodes(Judgement& judgement, const Runtime& runtime, const Demands& demands) {
  std::vector<std::string> lacking;
  for (const std::string& name : demands.operators) {
    if (std::find(runtime.lacks.begin(), runtime.lacks.end(), name) != runtime.lacks.end())
      lacking.push_back(name);
  }
  if (demands.antialias && !runtime.antialias) lacking.push_back("Resize with antialias");
  if (lacking.empty()) return;
  if (judgement.verdict == Verdict::runs)
    judgement.verdict = runtime.elsewhere ? Verdict::partly : Verdict::refuses;
  judgement.reasons.push_back(fmt::format(
      "{} {}", runtime.elsewhere ? "leaves to the CPU:" : "does not know:", fmt::join(lacking, ", ")));
}

}  // namespace

std::span<const Runtime> runtimes() {
  return table();
}

std::string_view name_of(Verdict verdict) {
  constexpr std::string_view kNames[] = {"runs", "partly on the CPU", "refuses"};
  return kNames[static_cast<std::size_t>(verdict)];
}

std::vector<Judgement> judge(const Graph& graph) {
  const Demands demands = demands_of(graph);
  std::vector<Judgement> all;
  for (const Runtime& runtime : runtimes()) {
    Judgement judgement{.runtime = fmt::format("{} {}", runtime.name, runtime.version), .reasons = {}};
    judge_file(judgement, runtime, demands);
    judge_nodes(judgement, runtime, demands);
    all.push_back(std::move(judgement));
  }
  return all;
}

}  // namespace vitrail::onnx_export
