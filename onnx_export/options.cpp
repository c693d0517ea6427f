#include "onnx_export/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "engine/error.h"
#include "onnx_export/graph.h"
#include "onnx_export/ops.h"

namespace vitrail::onnx_export {
namespace {

constexpr std::int64_t kLargestBatch = 65536;

void check_opset(const ExportOptions& options) {
  const OpsetRange range = opsets_of(options.profile);
  const std::int64_t opset = opset_of(options);
  if (opset >= range.first && opset <= range.last) return;
  throw ConfigError(fmt::format("--opset: expected {} to {} for --profile {}, found {}", range.first,
                                range.last, name_of(options.profile), opset));
}

void check_batch(const ExportOptions& options) {
  if (!options.batch || (*options.batch >= 1 && *options.batch <= kLargestBatch)) return;
  throw ConfigError(
      fmt::format("--batch: expected 1 to {} or dynamic, found {}", kLargestBatch, *options.batch));
}

void check_attention(const ExportOptions& options, const VitConfig& config) {
  for (const std::int64_t block : options.attention) {
    if (block >= 0 && block < config.depth) continue;
    throw ConfigError(fmt::format("--blocks: expected 0 to {}, found {}", config.depth - 1, block));
  }
  if (!options.attention.empty() && options.output != Output::attention)
    throw ConfigError("--blocks: goes with --output attention alone");
}

void check_any_size(const ExportOptions& options, const InputConfig& input) {
  if (!options.any_size) return;
  if (options.input != InputKind::samples || options.profile != Profile::modern) {
    throw ConfigError(
        "--any-size: expected --input uint8 and --profile modern: only from opset 18 can a graph resize as "
        "training does; resize before the graph, or use that profile");
  }
  if (std::floor(static_cast<double>(input.size) / input.crop_pct) < static_cast<double>(input.size)) {
    throw ConfigError(fmt::format("--any-size: expected a crop_pct of at most 1, found {}", input.crop_pct));
  }
}

void check_full_range(const ExportOptions& options) {
  if (!options.full_range || options.numbers == Numbers::int8_dynamic ||
      options.numbers == Numbers::int8_static)
    return;
  throw ConfigError(
      fmt::format("--full-range: expected --dtype int8, int8-dynamic or int8-static, found {}: others do not "
                  "multiply in 8 bits",
                  name_of(options.numbers)));
}

}  // namespace

std::string_view name_of(Profile profile) {
  return kProfileNames[static_cast<std::size_t>(profile)];
}
std::string_view name_of(Output output) {
  return kOutputNames[static_cast<std::size_t>(output)];
}
std::string_view name_of(InputKind input) {
  return kInputNames[static_cast<std::size_t>(input)];
}
std::string_view name_of(SampleLayout layout) {
  return kLayoutNames[static_cast<std::size_t>(layout)];
}
std::string_view name_of(Numbers numbers) {
  return kNumberNames[static_cast<std::size_t>(numbers)];
}

OpsetRange opsets_of(Profile profile) {
  if (profile == Profile::modern) return {20, 23, kLastOpset};
  return {17, 17, 22};
}

std::int64_t opset_of(const ExportOptions& options) {
  return options.opset.value_or(opsets_of(options.profile).usual);
}

std::int64_t batch_of(const ExportOptions& options) {
  return options.batch.value_or(options.profile == Profile::fixed_batch ? 1 : kBatch);
}

// onnx/onnx docs/Versioning.md
std::int64_t ir_version_of(std::int64_t opset) {
  assert(opset >= 17 && opset <= 24);
  constexpr std::int64_t kVersions[] = {8, 8, 9, 9, 10, 10, 11, 12};
  return kVersions[opset - 17];
}

void check(const ExportOptions& options, const VitConfig& config, const InputConfig& input) {
  check_opset(options);
  check_batch(options);
  check_attention(options, config);
  check_any_size(options, input);
  check_full_range(options);
  if (options.top < 1) throw ConfigError(fmt::format("--top: expected at least 1, found {}", options.top));
}

}  // namespace vitrail::onnx_export
