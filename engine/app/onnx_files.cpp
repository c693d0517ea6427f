#include "engine/app/onnx_files.h"

#include <fmt/format.h>

#include <optional>

#include "engine/app/platform.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "format/error.h"
#include "onnx_export/verify_onnx.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;
using onnx_export::OnnxReport;

std::string self_test_text(const OnnxReport& report) {
  if (!report.deviation)
    return "carries no self-test: export it again, so that it can prove what it computes";
  if (report.deviation->within())
    return fmt::format("self-test in {}: {:.1e} off, {:.1e} allowed", report.runtime,
                       report.deviation->distance(), report.deviation->limit);
  return fmt::format("the self-test fails in {}: {}", report.runtime, report.deviation->text());
}

std::string good_text(const fs::path& path, const OnnxReport& report, double seconds) {
  const std::string checker = report.official
                                  ? "passed ONNX's checker"
                                  : fmt::format("opset {} is beyond ONNX's checker here", report.opset);
  return fmt::format("{}  {}  opset {}{}, {} nodes, {} parameters  {}, {}  {:.2f} s", path.string(),
                     bytes_text(report.bytes), report.opset, report.microsoft ? " and com.microsoft" : "",
                     report.nodes, parameters_text(report.parameters), checker, self_test_text(report),
                     seconds);
}

nlohmann::ordered_json to_json(const OnnxReport& report) {
  nlohmann::ordered_json json{{"kind", "onnx"},
                              {"file_bytes", report.bytes},
                              {"opset", report.opset},
                              {"com.microsoft", report.microsoft},
                              {"nodes", report.nodes},
                              {"parameters", report.parameters},
                              {"hash_right", report.hashed},
                              {"official_checker", report.official}};
  if (!report.deviation) return json;
  const onnx_export::Deviation& deviation = *report.deviation;
  json["self_test"] = {{"runtime", report.runtime},         {"within", deviation.within()},
                       {"deviation", deviation.distance()}, {"allowed", deviation.limit},
                       {"output", deviation.output},        {"index", deviation.index},
                       {"expected", deviation.expected},    {"found", deviation.found}};
  return json;
}

}  // namespace

struct OnnxVerifier::Machinery {
  std::unique_ptr<Backend> backend = open_device({});
  std::optional<onnx_export::OnnxRuntime> runtime;
};

OnnxVerifier::OnnxVerifier(const std::string& runtime, const std::string& library) {
  if (runtime != "reference" && runtime != "onnxruntime")
    throw ConfigError(fmt::format("--runtime: expected reference or onnxruntime, found '{}'", runtime));
  machinery_ = std::make_unique<Machinery>();
  if (runtime == "onnxruntime") machinery_->runtime.emplace(library);
}

OnnxVerifier::~OnnxVerifier() = default;

bool is_onnx_file(const fs::path& path) {
  return path.extension() == ".onnx";
}

OnnxFileReport OnnxVerifier::verify(const fs::path& path) {
  const Stopwatch watch;
  OnnxFileReport result;
  result.json = {{"file", path.string()}, {"whole", false}};
  try {
    const OnnxReport report = onnx_export::verify_onnx(path, *machinery_->backend,
                                                       machinery_->runtime ? &*machinery_->runtime : nullptr);
    const bool wrong = report.deviation && !report.deviation->within();
    result.proof = wrong ? Proof::damaged : report.deviation ? Proof::proven : Proof::unproven;
    result.text = wrong ? fmt::format("{}: {}", path.string(), self_test_text(report))
                        : good_text(path, report, watch.seconds());
    result.json.update(to_json(report));
    result.json["whole"] = result.proof == Proof::proven;
  } catch (const format::FormatError& error) {
    result.text = error.what();
  } catch (const format::FileError& error) {
    result.proof = Proof::unreadable;
    result.text = error.what();
  }
  if (result.proof == Proof::damaged || result.proof == Proof::unreadable) result.json["error"] = result.text;
  result.json["seconds"] = watch.seconds();
  return result;
}

void show(Console& console, const OnnxFileReport& report) {
  constexpr const char* kRows[] = {"Good", "Unproven", "Damaged", "Unread"};
  console.row(kRows[static_cast<std::size_t>(report.proof)], report.text);
}

}  // namespace vitrail::app
