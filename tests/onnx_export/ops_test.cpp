#include "onnx_export/ops.h"

#include <doctest/doctest.h>
#include <onnx/defs/schema.h>

#include <set>

namespace vitrail::onnx_export {
namespace {

TEST_CASE("an operator is listed once, its versions in order") {
  std::set<std::pair<std::string_view, std::string_view>> seen;
  for (const Op& op : ops()) {
    CAPTURE(op.name);
    CHECK(seen.emplace(op.domain, op.name).second);
    CHECK(find_op(op.domain, op.name) == &op);
    CHECK((op.use & kAnyProfile) != 0);
    for (std::size_t i = 1; i < std::size(op.versions) && op.versions[i] != 0; ++i)
      CHECK(op.versions[i] > op.versions[i - 1]);
  }
  CHECK(find_op("", "Loop") == nullptr);
}

TEST_CASE("versions up to opset 17 are those of the official schemas") {
  for (const Op& op : ops()) {
    if (op.domain != "") continue;
    CAPTURE(op.name);
    const onnx::OpSchema* schema = onnx::OpSchemaRegistry::Schema(std::string(op.name), 17, "");
    CHECK(op.version_at(17) == (schema == nullptr ? 0 : schema->since_version()));
  }
}

TEST_CASE("which version a file means") {
  CHECK(find_op("", "Reshape")->version_at(17) == 14);
  CHECK(find_op("", "Reshape")->version_at(22) == 21);
  CHECK(find_op("", "Attention")->version_at(22) == 0);
  CHECK(find_op(kMicrosoft, "BiasGelu")->version_at(17) == 1);
}

}  // namespace
}  // namespace vitrail::onnx_export
