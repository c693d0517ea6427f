#pragma once
// NumPy's `.npz`: a zip of `.npy` arrays (numpy/lib/format.py), read only.

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "format/bytes.h"
#include "format/tensor_record.h"

namespace vitrail::format {

class NpzFile {
 public:
  static NpzFile open(const std::filesystem::path& path);  // throws FormatError, FileError
  static NpzFile open(Bytes bytes, std::string name);

  // Under their names without ".npy"; row-major.
  std::span<const TensorRecord> tensors() const { return tensors_; }

 private:
  struct Storage;
  std::shared_ptr<const Storage> storage_;
  std::vector<TensorRecord> tensors_;
};

}  // namespace vitrail::format
