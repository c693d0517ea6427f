#pragma once
// THE list of operators that an exported file may hold. The writer asserts that it emits no other; the
// reference interpreter and the report on runtimes stand on it. Versions: onnx/onnx docs/Changelog.md;
// com.microsoft: microsoft/onnxruntime docs/ContribOperators.md.

#include <cstdint>
#include <span>
#include <string_view>

namespace vitrail::onnx_export {

inline constexpr std::string_view kMicrosoft = "com.microsoft";

// The highest opset of the default domain that a file may import.
inline constexpr std::int64_t kLastOpset = 24;

// Where an operator may appear; several together.
enum Use : unsigned {
  kPortable = 1,  // profiles
  kStatic = 2,    //
  kOrt = 4,       //
  kModern = 8,    //
  kAnyProfile = 15,
  kHalf = 16,      // only with --dtype fp16
  kInt8 = 32,      // only with an int8 dtype
  kBytes = 64,     // only with --input uint8
  kAnySize = 128,  // only where the graph resizes
  kOutputs = 256,  // only with an output other than logits
};

struct Op {
  std::string_view name;
  std::string_view domain;  // "" or kMicrosoft
  // The versions of the operator that can be in force: from the one at opset 17 to the one at kLastOpset, or
  // from the first where there was none at 17; 0 fills up.
  std::int64_t versions[8];
  unsigned use;
  std::string_view note;  // how it is used

  std::int64_t since() const { return versions[0]; }
  // Which version a file of this opset means; 0 when it has no such operator.
  std::int64_t version_at(std::int64_t opset) const;
};

std::span<const Op> ops();
const Op* find_op(std::string_view domain, std::string_view name);  // null when there is none

}  // namespace vitrail::onnx_export
