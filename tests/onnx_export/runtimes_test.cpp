#include "onnx_export/runtimes.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "onnx_export/ops.h"
#include "onnx_export/vit_graph.h"
#include "tests/support/export_model.h"

namespace vitrail::onnx_export {
namespace {

std::vector<Judgement> judged(const ExportOptions& options) {
  const auto backend = make_backend("cpu", {.threads = 1});
  const Model model = test::export_model(*backend, test::tiny_config());
  Ranges ranges;
  const std::vector<float> images(2 * 3 * 8 * 8, 0.5f);
  observe(ranges, model.config, model.params.views(), *backend, images);
  return judge(build_vit(model, *backend, options, ranges));
}

Judgement of(const std::vector<Judgement>& all, const std::string& runtime) {
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Judgement& j) { return j.runtime == runtime; });
  REQUIRE(found != all.end());
  return *found;
}

TEST_CASE("what the table says a runtime lacks is an operator that we may emit") {
  for (const Runtime& runtime : runtimes()) {
    for (const std::string_view name : runtime.lacks) {
      CAPTURE(name);
      const bool own = name.starts_with(kMicrosoft);
      CHECK(find_op(own ? kMicrosoft : "", own ? name.substr(kMicrosoft.size() + 1) : name) != nullptr);
    }
  }
}

TEST_CASE("the portable profile runs wherever an open batch is taken") {
  for (const Judgement& judgement : judged({})) {
    CAPTURE(judgement.runtime);
    for (const std::string& reason : judgement.reasons) {
      const bool open = reason.find("--profile static") != std::string::npos;
      const bool pad = reason.find("Pad") != std::string::npos;  // CoreML, which wants a fixed batch too
      CHECK((open || pad));
    }
  }
}

TEST_CASE("the static profile runs everywhere") {
  for (const Judgement& judgement : judged({.profile = Profile::fixed_batch})) {
    CAPTURE(judgement.runtime);
    CHECK(judgement.verdict == Verdict::runs);
  }
}

TEST_CASE("what other profiles cost") {
  const auto modern = judged({.profile = Profile::modern}), ort = judged({.profile = Profile::ort});
  CHECK(of(modern, "TensorRT 10.0").verdict == Verdict::refuses);
  CHECK(of(modern, "TensorRT 10.14").verdict == Verdict::runs);
  CHECK(of(modern, "onnxruntime, CUDA 1.23").verdict == Verdict::partly);
  CHECK(of(modern, "onnxruntime, CUDA 1.23").reasons[0] == "leaves to the CPU: Attention");
  CHECK(of(ort, "TensorRT 10.14").verdict == Verdict::refuses);
  CHECK(of(ort, "onnxruntime, CPU 1.17").verdict == Verdict::runs);
  const auto dynamic = judged({.numbers = Numbers::int8_dynamic});
  CHECK(of(dynamic, "TensorRT 10.0").verdict == Verdict::refuses);
  CHECK(of(dynamic, "onnxruntime, CUDA 1.25").verdict == Verdict::partly);
  CHECK(of(judged({.numbers = Numbers::int8_static}), "TensorRT 10.0").verdict == Verdict::runs);
}

}  // namespace
}  // namespace vitrail::onnx_export
