#pragma once
// safetensors: a JSON header and the tensors' bytes (huggingface/safetensors, README.md, "Format"). Stricter
// than the reference where a file could mean two things.

#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "format/container.h"
#include "format/tensor_record.h"

namespace vitrail::format {

class SafetensorsFile {
 public:
  // A `.safetensors` file, or a `model.safetensors.index.json` with its shards beside it. Throws FormatError,
  // FileError.
  static SafetensorsFile open(const std::filesystem::path& path);
  static SafetensorsFile open(Bytes bytes, std::string name);

  // Views of the mapping; in the order of their names.
  std::span<const TensorRecord> tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  struct Storage;
  std::shared_ptr<const Storage> storage_;
  std::vector<TensorRecord> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Durable and atomic; same contents, same bytes. Tied weights are written once. Throws FileError,
// FormatError.
WriteResult write_safetensors(const std::filesystem::path& path, std::span<const TensorRecord> tensors,
                              const std::map<std::string, std::string>& metadata,
                              const WriteOptions& options = {});

}  // namespace vitrail::format
