// The self-test as metadata: JSON, numbers in the fewest digits that give the same f32 or integer again.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "format/error.h"
#include "onnx_export/self_test.h"

namespace vitrail::onnx_export {
namespace {

using format::FormatError;
using nlohmann::json;

constexpr std::size_t kLongest = 8 << 20;  // bytes of text
constexpr std::size_t kMostAxes = 8;

std::string number_text(double value) {
  return fmt::format("{}", static_cast<float>(value));
}

const json& at(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end())
    throw FormatError(fmt::format("metadata {}: '{}' is missing", kSelfTestKey, key));
  return *found;
}

[[noreturn]] void refuse(const char* key, const char* expected) {
  throw FormatError(fmt::format("metadata {}: expected {} as '{}'", kSelfTestKey, expected, key));
}

std::int64_t whole(const json& value, const char* key) {
  if (!value.is_number_integer() || value > INT64_MAX || value < 0) refuse(key, "a whole number from 0");
  return value.get<std::int64_t>();
}

std::string text_of(const json& value, const char* key) {
  if (!value.is_string()) refuse(key, "a text");
  return value.get<std::string>();
}

double finite(const json& value, const char* key) {
  if (!value.is_number() || !std::isfinite(value.get<double>())) refuse(key, "finite numbers");
  return value.get<double>();
}

reference::Dims dims_of(const json& value, const char* key) {
  if (!value.is_array() || value.size() > kMostAxes) refuse(key, "a list of at most 8 extents");
  reference::Dims dims;
  for (const json& extent : value)
    dims.push_back(whole(extent, key));
  (void)reference::checked_elements(dims, fmt::format("metadata {}, {}", kSelfTestKey, key));
  return dims;
}

SelfTest::Output output_of(const json& object) {
  if (!object.is_object()) refuse("outputs", "a list of objects");
  SelfTest::Output output{.name = text_of(at(object, "name"), "name"),
                          .shape = dims_of(at(object, "shape"), "shape"),
                          .step = whole(at(object, "step"), "step"),
                          .values = {}};
  const std::int64_t count = reference::checked_elements(output.shape, "shape");
  if (output.step < 1 || output.step > count) refuse("step", "a number from 1 to that of the elements");
  const json& values = at(object, "values");
  if (!values.is_array() || static_cast<std::int64_t>(values.size()) != (count - 1) / output.step + 1)
    refuse("values", "as many numbers as shape and step say");
  for (const json& value : values)
    output.values.push_back(finite(value, "values"));
  return output;
}

}  // namespace

std::string SelfTest::text() const {
  std::vector<std::string> objects;
  for (const Output& output : outputs) {
    std::vector<std::string> numbers;
    for (const double value : output.values)
      numbers.push_back(number_text(value));
    objects.push_back(fmt::format(R"({{"name":{},"shape":[{}],"step":{},"values":[{}]}})",
                                  json(output.name).dump(), fmt::join(output.shape, ","), output.step,
                                  fmt::join(numbers, ",")));
  }
  return fmt::format(R"({{"version":1,"seed":{},"input":{},"shape":[{}],"tolerance":{},"outputs":[{}]}})",
                     seed, json(input).dump(), fmt::join(shape, ","), number_text(tolerance),
                     fmt::join(objects, ","));
}

SelfTest SelfTest::parse(const std::string& text) {
  if (text.size() > kLongest)
    throw FormatError(fmt::format("metadata {}: expected at most 8 MiB", kSelfTestKey));
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object())
    throw FormatError(fmt::format("metadata {}: expected a JSON object", kSelfTestKey));
  if (whole(at(object, "version"), "version") != 1)
    throw FormatError(
        fmt::format("metadata {}: expected version 1, found another; use a newer vitrail", kSelfTestKey));
  SelfTest test{.seed = static_cast<std::uint64_t>(whole(at(object, "seed"), "seed")),
                .input = text_of(at(object, "input"), "input"),
                .shape = dims_of(at(object, "shape"), "shape"),
                .tolerance = finite(at(object, "tolerance"), "tolerance"),
                .outputs = {}};
  if (!(test.tolerance > 0 && test.tolerance < 1)) refuse("tolerance", "a number between 0 and 1");
  const json& outputs = at(object, "outputs");
  if (!outputs.is_array() || outputs.empty()) refuse("outputs", "a list of objects");
  for (const json& output : outputs)
    test.outputs.push_back(output_of(output));
  return test;
}

}  // namespace vitrail::onnx_export
