#pragma once
// What an exported file is to be: for whom, with which input, output and numbers.

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/model_io.h"

namespace vitrail::onnx_export {

enum class Profile : std::uint8_t {
  portable,     // opset 17, any batch: what every runtime reads
  fixed_batch,  // "static": one batch, no Pad, no open extent
  ort,          // onnxruntime's own fused operators
  modern,       // opset 23: Attention, Gelu
};

enum class Output : std::uint8_t { logits, probabilities, features, topk, attention };

enum class InputKind : std::uint8_t {
  floats,   // prepared: f32 (batch, channels, size, size), normalised
  samples,  // "uint8": 8-bit samples as they come from a decoder
};

enum class SampleLayout : std::uint8_t { nhwc, nchw };

enum class Numbers : std::uint8_t {
  fp32,
  fp16,          // products in fp16; normalisation, softmax, residual stream, input and output in fp32
  int8_dynamic,  // activations quantised as they come, weights by output channel
  int8_static,   // QuantizeLinear and DequantizeLinear with ranges from calibration
  int8_weights,  // weights alone
};

struct ExportOptions {
  Profile profile = Profile::portable;
  std::optional<std::int64_t> batch = {};  // nothing: open; fixed_batch has 1 then
  std::optional<std::int64_t> opset = {};  // nothing: the profile's own
  Output output = Output::logits;
  std::int64_t top = 5;                      // of topk; at most num_classes are written
  std::vector<std::int64_t> attention = {};  // blocks of Output::attention; none: the last one
  InputKind input = InputKind::floats;
  SampleLayout layout = SampleLayout::nhwc;
  bool any_size = false;  // samples of any size, resized and cropped in the graph
  Numbers numbers = Numbers::fp32;
  bool full_range = false;  // int8_dynamic, int8_static: weights within ±127, not ±64; wants VNNI or the like
  bool external_data = false;  // weights in a file of their own even where one could hold them
};

// The names of the command line, in order of the enumerations.
inline constexpr std::array<std::string_view, 4> kProfileNames = {"portable", "static", "ort", "modern"};
inline constexpr std::array<std::string_view, 5> kOutputNames = {"logits", "probabilities", "features",
                                                                 "topk", "attention"};
inline constexpr std::array<std::string_view, 2> kInputNames = {"float", "uint8"};
inline constexpr std::array<std::string_view, 2> kLayoutNames = {"nhwc", "nchw"};
inline constexpr std::array<std::string_view, 5> kNumberNames = {"fp32", "fp16", "int8-dynamic",
                                                                 "int8-static", "int8-weights"};

std::string_view name_of(Profile profile);
std::string_view name_of(Output output);
std::string_view name_of(InputKind input);
std::string_view name_of(SampleLayout layout);
std::string_view name_of(Numbers numbers);

// Which opsets a profile allows, and the one that it has unless told otherwise.
struct OpsetRange {
  std::int64_t first, usual, last;
};
OpsetRange opsets_of(Profile profile);

// The opset and the batch (kBatch where it is open) that the file will have.
std::int64_t opset_of(const ExportOptions& options);
std::int64_t batch_of(const ExportOptions& options);
// The oldest IR that may import the opset.
std::int64_t ir_version_of(std::int64_t opset);

// Throws ConfigError, naming the option, what was expected and what was found.
void check(const ExportOptions& options, const VitConfig& config, const InputConfig& input);

}  // namespace vitrail::onnx_export
