#include "onnx_export/verify_onnx.h"

#include <fmt/format.h>

#include "format/error.h"
#include "onnx_export/ops.h"

namespace vitrail::onnx_export {
namespace {

using format::FormatError;
using reference::ModelParts;

// A file with a self-test has a hash too, and the other way round, and all of our own have both: else the end
// of the file is missing, or damaged.
bool hash_is_right(const ModelParts& parts) {
  const std::string *hash = parts.metadata(kHashKey), *test = parts.metadata(kSelfTestKey);
  const bool ours = parts.skeleton.producer_name() == "vitrail";
  if ((hash == nullptr && (ours || test != nullptr)) || (test == nullptr && hash != nullptr))
    throw FormatError(fmt::format("metadata: '{}' is missing", hash == nullptr ? kHashKey : kSelfTestKey));
  if (hash == nullptr) return false;
  const std::string found = parts.content_hash(kHashKey);
  if (found != *hash)
    throw FormatError(fmt::format(
        "damaged or changed since it was written: its content has the hash {}, expected {}", found, *hash));
  return true;
}

}  // namespace

OnnxReport check_structure(const ModelParts& parts, const reference::Graph& graph) {
  OnnxReport report{.bytes = parts.bytes,
                    .opset = graph.opset(),
                    .nodes = graph.nodes(),
                    .parameters = 0,
                    .microsoft = graph.uses(std::string(kMicrosoft)),
                    .hashed = hash_is_right(parts),
                    .official = false,
                    .runtime = {},
                    .deviation = {}};
  for (const reference::Constant& constant : parts.constants)
    report.parameters += reference::checked_elements(constant.dims, constant.name);
  return report;
}

OnnxReport verify_onnx(const ModelParts& parts, reference::Products& products,
                       const reference::Limits& limits) {
  const reference::Graph graph(parts);
  OnnxReport report = check_structure(parts, graph);
  report.runtime = "the reference interpreter";
  if (const std::string* text = parts.metadata(kSelfTestKey))
    report.deviation = run_self_test(SelfTest::parse(*text), graph, products, limits);
  // Last, because it is not ours and has seen fewer hostile files than the interpreter.
  report.official = check_officially(parts);
  return report;
}

}  // namespace vitrail::onnx_export
