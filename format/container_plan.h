#pragma once
// A container laid out before its tensors are hashed or written: sizes and offsets depend on names, types and
// shapes alone (SPEC.md, "File map", "Placement"), so that the data can be hashed while it is written and the
// head follows.

#include "format/container.h"
#include "format/layout.h"
#include "format/tied.h"

namespace vitrail::format {

// What one leaf of the hash tree covers: a whole small tensor, or a chunk of a large one.
struct Piece {
  std::uint64_t offset = 0;  // in the file
  Bytes bytes;
  const TensorRecord* completes = nullptr;  // the tensor whose last piece this is
};

class ContainerPlan {
 public:
  // `contents` must outlive the plan. Throws FormatError when they break a limit of the format.
  explicit ContainerPlan(const ContainerContents& contents);

  std::uint64_t file_bytes() const { return file_bytes_; }
  std::uint64_t data_offset() const { return data_offset_; }
  // In file order; empty tensors have a piece too.
  std::span<const Piece> pieces() const { return pieces_; }
  void set_hash(std::size_t piece, const Hash128& hash) { hashes_[piece] = hash; }
  const Hash128& hash(std::size_t piece) const { return hashes_[piece]; }

  // Once every piece has its hash:
  void seal();
  Bytes head() const { return head_; }      // prologue, metadata and zeros: the first data_offset bytes
  Bytes footer() const { return footer_; }  // the last bytes of the file
  const Hash128& content_id() const { return content_id_; }

 private:
  struct Entry : TiedTensor {
    std::uint32_t name = 0;  // index into names_
    std::uint64_t offset = 0;
    Hash128 hash;
    std::uint32_t first_chunk = 0;
    std::size_t first_piece = 0;
  };
  bool later() const;
  void sort();
  void place();
  void hash_entries();
  Vector directory() const;
  Vector roles() const;
  Vector chunk_hashes() const;
  std::vector<std::byte> metadata() const;

  const ContainerContents& contents_;
  std::vector<std::string> names_;
  std::vector<Entry> entries_;
  std::vector<Piece> pieces_;
  std::vector<Hash128> hashes_;  // one a piece
  std::uint64_t data_offset_ = 0, file_bytes_ = 0;
  Hash128 content_id_;
  std::vector<std::byte> head_, footer_;
};

}  // namespace vitrail::format
