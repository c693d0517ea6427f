#pragma once
// The `.vitrail` container (SPEC.md): metadata and tensors in one file, every byte under a hash, mapped for
// reading and replaced atomically for writing. It knows no model.

#include <filesystem>
#include <string_view>

#include "format/file.h"
#include "format/hash.h"
#include "format/message.h"
#include "format/tensor_record.h"
#include "format/write_options.h"

namespace vitrail::format {

enum class FileKind : std::uint32_t { weights = 1, model = 2, checkpoint = 3, shard = 4, shard_index = 5 };

const char* name_of(FileKind kind);  // "weights", …

// `root` without the fields the writer derives from the tensors (names, tensors, chunk hashes, roles).
struct ContainerContents {
  FileKind kind = FileKind::weights;
  Table root;
  std::vector<TensorRecord> tensors;  // in any order; no two with the same role and name
};

struct WriteResult {
  std::uint64_t file_bytes = 0;
  std::string content_id;  // 32 hex digits: identifies the tensors, whatever stands around them
  double seconds = 0;
  WriteMode mode = WriteMode::automatic;  // the one that was used
  bool rewritten = false;                 // a first try did not get to the disk, or could not be renamed
};

// The whole file in memory order, and how it goes to disk: same contents, same bytes. Throws FileError, and
// FormatError when the contents break a limit of the format.
WriteResult write_container(const std::filesystem::path& path, const ContainerContents& contents,
                            const WriteOptions& options = {});

class Container {
 public:
  // Checks everything but the tensors' own bytes. Throws FormatError, FileError.
  static Container open(const std::filesystem::path& path);
  // The same over bytes that outlive the container; `name` is for messages.
  static Container open(Bytes bytes, std::string name);

  FileKind kind() const { return kind_; }
  const Table& root() const { return root_; }
  const std::vector<TensorRecord>& tensors() const { return tensors_; }
  const TensorRecord* find(Role role, std::string_view name) const;  // null when there is none

  // The tensor's bytes, checked against its hashes first. Throws FormatError naming tensor, chunk and
  // elements.
  Bytes read(const TensorRecord& tensor) const;
  // As the file states them, unchecked: what two files differ in can be told without reading tensors.
  const Hash128& hash(const TensorRecord& tensor) const { return leaves(tensor).hash; }
  // One a chunk of 4 MiB; none for a tensor of at most that.
  std::span<const Hash128> chunk_hashes(const TensorRecord& tensor) const;
  // Every tensor, the padding between them, bools: no byte of the file stays unchecked.
  void verify_all() const;

  std::uint64_t file_bytes() const { return bytes_.size(); }
  std::string content_id() const { return to_hex(content_id_); }
  const std::string& name() const { return name_; }

 private:
  struct Leaves {
    Hash128 hash;
    std::uint64_t offset = 0;
    std::uint32_t first_chunk = 0, chunk_count = 0;
  };
  const Leaves& leaves(const TensorRecord& tensor) const {
    return leaves_[static_cast<std::size_t>(&tensor - tensors_.data())];
  }
  void parse();

  std::string name_;
  MappedFile file_;
  Bytes bytes_;
  FileKind kind_ = FileKind::weights;
  Table root_;
  std::vector<TensorRecord> tensors_;
  std::vector<Leaves> leaves_;  // one a tensor
  std::vector<Hash128> chunks_;
  Hash128 content_id_;
  std::uint64_t data_offset_ = 0;
};

}  // namespace vitrail::format
