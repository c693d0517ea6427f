#pragma once
// PyTorch's `.pt` and `.pth`: a zip of a pickle and one record a storage (torch 1.6 and later), or five
// pickles in a row (before). The pickle is read by a machine that knows data only; anything else is refused
// by name and position. Sources: pytorch caffe2/serialize/inline_container.h, torch/serialization.py,
// torch/_weights_only_unpickler.py.

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "format/container.h"
#include "format/datum.h"
#include "format/tensor_record.h"

namespace vitrail::format {

class TorchFile {
 public:
  // A record's CRC is checked when it is given and not 0. That of the pickle always is; those of the storages
  // are the only check that has to read every byte.
  enum class Check : std::uint8_t {
    all,
    structure  // leaves the storages' CRCs to check_storages(): opening does not depend on their size
  };

  // Throws FormatError, FileError.
  static TorchFile open(const std::filesystem::path& path, Check check = Check::all);
  // The same over bytes that outlive the file; `name` is for messages.
  static TorchFile open(Bytes bytes, std::string name, Check check = Check::all);

  const Datum& root() const { return root_; }
  // Dense and row-major, each under the last key on its way from the root ("" where there is none); views of
  // the mapping where the file has them so and aligned to their elements, else of memory that this object
  // keeps, which is at most the file's size and 64 MiB. A tensor that shares a storage with an earlier one,
  // at the same place with the same shape, has its bytes, and is marked as its alias where that one's name is
  // no other tensor's.
  std::span<const TensorRecord> tensors() const { return tensors_; }
  // With several threads. Throws FormatError naming what is damaged. Files from before torch 1.6 have no
  // CRCs.
  void check_storages() const;
  // Into as many bytes as the tensor has. What was read leaves this process's memory, so that loading takes
  // that of the model alone.
  void copy(const TensorRecord& tensor, std::span<std::byte> to) const;
  struct Copy {
    const TensorRecord* tensor;
    std::span<std::byte> to;
  };
  // Both at once, with several threads: what fills a storage, as most tensors do, is read once for its CRC
  // and its copy. When it throws, what has been copied is not to be used.
  void load(std::span<const Copy> copies) const;
  // Gives back the memory of a part of a tensor's bytes that will not be looked at soon; it is read again
  // when it is.
  void release(Bytes part) const;

 private:
  struct Storage;
  static TorchFile open(std::shared_ptr<Storage> storage, Bytes bytes, Check check);

  std::shared_ptr<const Storage> storage_;
  Datum root_;
  std::vector<TensorRecord> tensors_;
};

// Writes `root` as torch.save would, durably and atomically: the same contents, the same bytes. Every tensor
// in it is a place in `tensors`; an alias shares its owner's storage. Loads in torch with weights_only=True
// and mmap=True. Throws FileError.
WriteResult write_torch(const std::filesystem::path& path, const Datum& root,
                        std::span<const TensorRecord> tensors, const WriteOptions& options = {});

}  // namespace vitrail::format
