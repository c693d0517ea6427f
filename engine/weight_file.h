#pragma once
// A file of weights of any format that we read, told by its content: `.vitrail`, `.pt`, `.safetensors` (one
// file or a set with its index), `.npz`; or a folder as Hugging Face's save_pretrained leaves it.

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/model_io.h"
#include "format/datum.h"
#include "format/tensor_record.h"

namespace vitrail {

struct WeightFile {
  std::filesystem::path path;
  std::string format;  // "vitrail", "pt", "safetensors", "npz"
  // The model's tensors. Wrappers are taken off: {"model": …}, {"state_dict": …}, model_ema, and the prefixes
  // "module.", "_orig_mod.", Lightning's "model.".
  std::vector<format::TensorRecord> tensors;
  std::map<std::string, std::string> metadata;  // of safetensors
  // The JSON documents beside the file, where they are.
  std::optional<format::Datum> config, preprocessor;
  // Of a `.pt` file: all that it holds, and the tensors its tree points at.
  format::Datum root;
  std::vector<format::TensorRecord> root_tensors;
  std::vector<std::string> notes;       // what was taken off, in words, for the user
  std::shared_ptr<const void> storage;  // what the bytes belong to
  // Gives back the memory of bytes that have been copied, so that loading takes that of the model alone; they
  // are read again when they are looked at again. Empty where they are not views of a mapped file.
  std::function<void(format::Bytes)> release;
};

// Reads and checks all of it. Of a file with an average of the weights beside the weights themselves, `best`
// takes the average of a `.vitrail` checkpoint, as load_model() does, and the weights of any other. Of a
// folder, the weights that save_pretrained() of Hugging Face or timm has put there. Throws
// format::FormatError, format::FileError, ConfigError when what is chosen is not there.
WeightFile open_weight_file(const std::filesystem::path& path, WeightChoice choice = WeightChoice::best);

}  // namespace vitrail
