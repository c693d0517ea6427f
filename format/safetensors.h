#pragma once
// safetensors: a JSON header and the tensors' bytes (huggingface/safetensors, README.md, "Format"). Stricter
// than the reference where a file could mean two things: SAFETENSORS.md.

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
  // A `.safetensors` file, or a `model.safetensors.index.json` with its shards beside it, told by content.
  // Checks everything but the tensors' values. Throws FormatError, FileError.
  static SafetensorsFile open(const std::filesystem::path& path);
  // One file over bytes that outlive it; `name` is for messages.
  static SafetensorsFile open(Bytes bytes, std::string name);

  // In the order of their names; tied weights are there under each name. Views of the mapping, or of memory
  // that this object keeps, where they are not aligned to their elements or the file is not mapped.
  std::span<const TensorRecord> tensors() const { return tensors_; }
  // Without what the writer below adds. Of a set: of all shards, the first that has a key.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // Whether the file says what its bytes hash to: then verify() reads all of it, and throws FormatError when
  // they do not. Files of other writers cannot tell.
  bool has_hash() const;
  void verify() const;

  // Gives back the memory of a part of a tensor's bytes that will not be looked at soon; it is read again
  // when it is.
  void release(Bytes part) const;

 private:
  struct Storage;
  friend class SafetensorsReader;
  Hash128 hash_of_bytes(Bytes bytes) const;
  std::shared_ptr<const Storage> storage_;
  std::vector<TensorRecord> tensors_;
  std::map<std::string, std::string> metadata_;
};

// Durable and atomic; same contents, same bytes, in the reference's order of tensors, data on a multiple of
// 64 bytes. Tied weights are written once, under the name that comes first; `format` is "pt" where `metadata`
// does not tell. Roles are not kept, so names must be unique. Throws FileError, FormatError.
WriteResult write_safetensors(const std::filesystem::path& path, std::span<const TensorRecord> tensors,
                              const std::map<std::string, std::string>& metadata,
                              const WriteOptions& options = {});

// The same as a set: for an index "x/NAME.safetensors.index.json", shards "x/NAME-00001-of-00003.safetensors"
// and so on of at most `max_shard_bytes` of tensors, or a single tensor that is larger, in the order of
// names. The index is written last and makes them a set; FormatError when there is one already, because a set
// cannot be replaced in one step. Returns the sum, and the content_id of all.
WriteResult write_safetensors_set(const std::filesystem::path& index, std::span<const TensorRecord> tensors,
                                  const std::map<std::string, std::string>& metadata,
                                  std::uint64_t max_shard_bytes, const WriteOptions& options = {});

}  // namespace vitrail::format
