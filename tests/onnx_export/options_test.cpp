#include "onnx_export/options.h"

#include <doctest/doctest.h>

#include "engine/error.h"
#include "onnx_export/graph.h"
#include "tests/support/export_model.h"

namespace vitrail::onnx_export {
namespace {

void check_tiny(const ExportOptions& options, const InputConfig& input = {.size = 8}) {
  check(options, test::tiny_config(), input);
}

TEST_CASE("each profile has its opset, its batch and its IR") {
  CHECK(opset_of({}) == 17);
  CHECK(opset_of({.profile = Profile::modern}) == 23);
  CHECK(batch_of({}) == kBatch);
  CHECK(batch_of({.profile = Profile::fixed_batch}) == 1);
  CHECK(batch_of({.profile = Profile::fixed_batch, .batch = 4}) == 4);
  // onnx/onnx docs/Versioning.md: 1.12, 1.14, 1.16, 1.18, 1.19
  CHECK(ir_version_of(17) == 8);
  CHECK(ir_version_of(19) == 9);
  CHECK(ir_version_of(21) == 10);
  CHECK(ir_version_of(23) == 11);
  CHECK(ir_version_of(24) == 12);
}

TEST_CASE("what cannot be exported is refused by the option's name") {
  CHECK_NOTHROW(check_tiny({}));
  CHECK_THROWS_WITH_AS(check_tiny({.opset = 16}),
                       "--opset: expected 17 to 22 for --profile portable, found 16", const ConfigError&);
  CHECK_THROWS_AS(check_tiny({.profile = Profile::modern, .opset = 17}), ConfigError);
  CHECK_THROWS_AS(check_tiny({.profile = Profile::modern, .opset = 25}), ConfigError);
  CHECK_THROWS_AS(check_tiny({.batch = 0}), ConfigError);
  CHECK_THROWS_AS(check_tiny({.output = Output::topk, .top = 0}), ConfigError);
  CHECK_THROWS_AS(check_tiny({.output = Output::attention, .attention = {2}}), ConfigError);
  CHECK_THROWS_AS(check_tiny({.attention = {0}}), ConfigError);
  CHECK_THROWS_AS(check_tiny({.input = InputKind::samples, .any_size = true}), ConfigError);
  CHECK_THROWS_AS(check_tiny({.numbers = Numbers::int8_weights, .full_range = true}), ConfigError);
  CHECK_NOTHROW(check_tiny({.numbers = Numbers::int8_dynamic, .full_range = true}));
  const ExportOptions any{.profile = Profile::modern, .input = InputKind::samples, .any_size = true};
  CHECK_NOTHROW(check_tiny(any));
  CHECK_THROWS_AS(check_tiny(any, {.size = 8, .crop_pct = 1.2}), ConfigError);
}

}  // namespace
}  // namespace vitrail::onnx_export
