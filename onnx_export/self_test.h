#pragma once
// What a file carries to prove itself: an input, made again from a seed, and the outputs that belong to it,
// as metadata `vitrail.selftest`; and a hash of everything in it, as `vitrail.xxh3_128`. docs/onnx.md has the
// format.

#include <string>
#include <vector>

#include "engine/model_io.h"
#include "onnx_export/interpreter.h"
#include "onnx_export/vit_graph.h"

namespace vitrail::onnx_export {

inline constexpr const char* kSelfTestKey = "vitrail.selftest";
inline constexpr const char* kHashKey = "vitrail.xxh3_128";

struct SelfTest {
  struct Output {
    std::string name;
    reference::Dims shape;
    std::int64_t step = 1;       // every step-th element is there, from the first on
    std::vector<double> values;  // finite
  };
  std::uint64_t seed = 1;
  std::string input;  // its name
  reference::Dims shape;
  // How far an output may be off: |found − expected| ≤ tolerance · (1 + largest |expected|).
  double tolerance = 0;
  std::vector<Output> outputs;

  // A part of a tensor of any size. Throws FormatError where it is not finite.
  static Output sampled(const std::string& name, const reference::Tensor& tensor);
  std::string text() const;  // JSON
  // Throws FormatError for what is no such text.
  static SelfTest parse(const std::string& text);
};

// Element i of the self-test's input from word i mod 4 of philox4x32({i / 4, i / 2^34, 0, 0x53454C46}, seed):
// of a float tensor 4·u − 2 with the word's upper 24 bits as u in [0, 1), of a tensor of bytes its lowest
// byte.
std::vector<float> self_test_floats(std::uint64_t seed, std::size_t count);
std::vector<std::uint8_t> self_test_bytes(std::uint64_t seed, std::size_t count);

// The engine's own logits for the input: of a graph with f32 images of `batch` and logits, in f32.
SelfTest engine_self_test(const VitConfig& config, const VitParams& params, Backend& backend,
                          std::int64_t batch, double tolerance);
// What the graph itself computes in the reference interpreter; open extents become 1, but for those of
// `shape` where it is given. Indices are left out where the tolerance lets numbers change places.
SelfTest interpreted_self_test(const reference::ModelParts& parts, reference::Products& products,
                               double tolerance, const reference::Dims& shape = {});

// Gives a finished graph its self-test. Expected are the engine's own logits where the graph takes prepared
// images, computes in f32 and ends in logits, else what the interpreter computes. (The hash is added by
// whoever writes the file: onnx_export/model_writer.h.)
void add_self_test(Graph& graph, const Subject& subject, const ExportOptions& options, Backend& backend);

// Tolerances by what the weights and activations are in.
inline constexpr double kToleranceF32 = 2e-5, kToleranceF16 = 1e-2, kToleranceInt8 = 5e-2;

// Where an output was farthest off, in units of what is allowed.
struct Deviation {
  std::string output;
  reference::Dims index;
  double expected = 0, found = 0, limit = 0;

  double distance() const;  // infinite when `found` is not finite
  bool within() const { return distance() <= limit; }
  std::string text() const;
};

// The tensor that the graph takes for the self-test.
reference::Tensor self_test_input(const SelfTest& test, reference::Type type,
                                  const std::shared_ptr<reference::Budget>& budget);
// The worst of all outputs. Throws FormatError when one is missing or has another shape.
Deviation compare(const SelfTest& test, const std::vector<reference::Declared>& names,
                  const std::vector<reference::Tensor>& found);
// Runs the graph in the interpreter.
Deviation run_self_test(const SelfTest& test, const reference::Graph& graph, reference::Products& products,
                        const reference::Limits& limits = {});

}  // namespace vitrail::onnx_export
