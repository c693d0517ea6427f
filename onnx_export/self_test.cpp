#include "onnx_export/self_test.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "format/error.h"
#include "kernels/random.h"

namespace vitrail::onnx_export {
namespace {

using format::FormatError;
using reference::Tensor;

constexpr std::int64_t kMostValues = 2048;  // of an output

Random4 words(std::uint64_t seed, std::size_t index) {
  return philox4x32({static_cast<std::uint32_t>(index),
                     static_cast<std::uint32_t>(std::uint64_t{index} >> 32), 0, 0x53454C46},
                    {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
}

// An odd step, so that it does not walk along an axis of an even extent.
std::int64_t step_for(std::int64_t count) {
  return ((count + kMostValues - 1) / kMostValues) | 1;
}

}  // namespace

SelfTest::Output SelfTest::sampled(const std::string& name, const Tensor& tensor) {
  SelfTest::Output output{.name = name, .shape = tensor.dims, .step = step_for(tensor.count()), .values = {}};
  for (std::int64_t i = 0; i < tensor.count(); i += output.step) {
    output.values.push_back(tensor.at(i));
    if (!std::isfinite(output.values.back()))
      throw FormatError(
          fmt::format("output '{}' of the self-test is not finite at element {}: the weights make the "
                      "network overflow",
                      name, i));
  }
  return output;
}

namespace {

reference::Dims index_of(std::int64_t element, const reference::Dims& shape) {
  reference::Dims index(shape.size(), 0);
  for (std::size_t axis = shape.size(); axis-- > 0; element /= shape[axis])
    index[axis] = element % shape[axis];
  return index;
}

// How far off, as a share of what is allowed, so that outputs of any size can be compared.
double share(const Deviation& deviation) {
  return deviation.distance() / deviation.limit;
}

Deviation compare_output(const SelfTest& test, const SelfTest::Output& expected, const Tensor& found) {
  if (found.dims != expected.shape)
    throw FormatError(fmt::format("output '{}' of the self-test: expected {}, the graph computes {}",
                                  expected.name, reference::to_string(expected.shape),
                                  reference::to_string(found.dims)));
  double largest = 0;
  for (const double value : expected.values)
    largest = std::max(largest, std::abs(value));
  Deviation worst;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const std::int64_t element = static_cast<std::int64_t>(i) * expected.step;
    Deviation here{.output = expected.name,
                   .index = index_of(element, expected.shape),
                   .expected = expected.values[i],
                   .found = found.at(element),
                   .limit = is_float(found.type) ? test.tolerance * (1 + largest) : 0.5};
    if (i == 0 || share(here) > share(worst)) worst = std::move(here);
  }
  return worst;
}

}  // namespace

std::vector<float> self_test_floats(std::uint64_t seed, std::size_t count) {
  std::vector<float> elements(count);
  for (std::size_t i = 0; i < count; ++i)
    elements[i] = static_cast<float>(4 * uniform(words(seed, i / 4)[i % 4]) - 2);
  return elements;
}

std::vector<std::uint8_t> self_test_bytes(std::uint64_t seed, std::size_t count) {
  std::vector<std::uint8_t> elements(count);
  for (std::size_t i = 0; i < count; ++i)
    elements[i] = static_cast<std::uint8_t>(words(seed, i / 4)[i % 4]);
  return elements;
}

Tensor self_test_input(const SelfTest& test, reference::Type type,
                       const std::shared_ptr<reference::Budget>& budget) {
  Tensor tensor = make_tensor(budget, type, test.shape, "the self-test's input");
  const auto count = static_cast<std::size_t>(tensor.count());
  if (reference::is_float(type)) {
    tensor.elements->floats = self_test_floats(test.seed, count);
    tensor.round();
  } else if (type == reference::Type::u8) {
    const std::vector<std::uint8_t> bytes = self_test_bytes(test.seed, count);
    std::copy(bytes.begin(), bytes.end(), tensor.elements->whole.begin());
  } else {
    throw FormatError(
        fmt::format("the self-test's input: expected float32, float16 or uint8, found {}", name_of(type)));
  }
  return tensor;
}

SelfTest interpreted_self_test(const reference::ModelParts& parts, reference::Products& products,
                               double tolerance, const reference::Dims& shape) {
  const reference::Graph graph(parts);
  if (graph.inputs().size() != 1) throw FormatError("the self-test expects a graph with one input");
  const reference::Declared& input = graph.inputs()[0];
  SelfTest test{.seed = 1, .input = input.name, .shape = shape, .tolerance = tolerance, .outputs = {}};
  if (shape.empty()) {
    for (const std::int64_t extent : input.dims)
      test.shape.push_back(extent < 0 ? 1 : extent);
  }
  const auto budget = std::make_shared<reference::Budget>(reference::Limits{});
  const std::vector<Tensor> outputs =
      graph.run({self_test_input(test, input.type, budget)}, products, budget);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    if (is_float(outputs[i].type) || tolerance <= kToleranceF32)
      test.outputs.push_back(SelfTest::sampled(graph.outputs()[i].name, outputs[i]));
  }
  return test;
}

double Deviation::distance() const {
  const double distance = std::abs(found - expected);
  return std::isfinite(distance) ? distance : std::numeric_limits<double>::infinity();
}

std::string Deviation::text() const {
  return fmt::format("{:.3g} at {}{}, where {:.6g} is expected and {:.6g} was computed; {:.3g} is allowed",
                     distance(), output, reference::to_string(index), expected, found, limit);
}

Deviation compare(const SelfTest& test, const std::vector<reference::Declared>& names,
                  const std::vector<Tensor>& found) {
  Deviation worst;
  bool first = true;
  for (const SelfTest::Output& expected : test.outputs) {
    const auto named = std::find_if(names.begin(), names.end(),
                                    [&](const reference::Declared& d) { return d.name == expected.name; });
    if (named == names.end())
      throw FormatError(fmt::format("the self-test knows an output '{}', the graph has none", expected.name));
    Deviation here = compare_output(test, expected, found[static_cast<std::size_t>(named - names.begin())]);
    if (first || share(here) > share(worst)) worst = std::move(here);
    first = false;
  }
  return worst;
}

Deviation run_self_test(const SelfTest& test, const reference::Graph& graph, reference::Products& products,
                        const reference::Limits& limits) {
  if (graph.inputs().size() != 1 || graph.inputs()[0].name != test.input)
    throw FormatError(fmt::format("the self-test expects a graph whose one input is '{}'", test.input));
  const auto budget = std::make_shared<reference::Budget>(limits);
  std::vector<Tensor> inputs{self_test_input(test, graph.inputs()[0].type, budget)};
  return compare(test, graph.outputs(), graph.run(std::move(inputs), products, budget));
}

}  // namespace vitrail::onnx_export
