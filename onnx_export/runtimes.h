#pragma once
// Which runtime takes an exported graph: what each of them knows, by version, and what that says of a file.

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "onnx_export/graph.h"

namespace vitrail::onnx_export {

// The day on which the table of runtimes.cpp was last compared with its sources.
inline constexpr std::string_view kRuntimesAsOf = "2026-11";

struct Runtime {
  std::string_view name, version;  // the oldest version of which this is true
  std::int64_t last_opset, last_ir_version;
  bool microsoft;                       // knows operators of com.microsoft
  bool open_batch;                      // takes a batch that the file leaves open
  bool elsewhere;                       // what it lacks is computed on the CPU, else refused
  bool antialias;                       // Resize with it
  bool zero_points;                     // other than 0
  std::vector<std::string_view> lacks;  // operators; those of com.microsoft with that before them
};

std::span<const Runtime> runtimes();

enum class Verdict : std::uint8_t { runs, partly, refuses };
std::string_view name_of(Verdict verdict);  // "runs", "partly on the CPU", "refuses"

struct Judgement {
  std::string runtime;  // with its version
  Verdict verdict = Verdict::runs;
  std::vector<std::string> reasons;  // why not, or not wholly, in plain words
};

// One a runtime, in the table's order.
std::vector<Judgement> judge(const Graph& graph);

}  // namespace vitrail::onnx_export
