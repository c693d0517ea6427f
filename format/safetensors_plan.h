#pragma once
// A safetensors file laid out before its tensors are hashed or written: sizes and places depend on names,
// types and shapes alone, so that the data can be hashed while it is written and the header follows.

#include <map>
#include <string>

#include "format/container_plan.h"
#include "format/tied.h"

namespace vitrail::format {

class SafetensorsPlan {
 public:
  // `tensors` must outlive the plan. Throws FormatError for what the format cannot hold.
  SafetensorsPlan(std::span<const TensorRecord> tensors, const std::map<std::string, std::string>& metadata);

  SafetensorsPlan(const SafetensorsPlan&) = delete;
  SafetensorsPlan& operator=(const SafetensorsPlan&) = delete;

  std::uint64_t head_bytes() const { return head_.size(); }
  std::uint64_t file_bytes() const { return file_bytes_; }
  // One behind the other from head_bytes() on; empty tensors have one too.
  std::span<const Piece> pieces() const { return pieces_; }
  void set_hash(std::size_t piece, const Hash128& hash) { hashes_[piece] = hash; }
  const Hash128& hash(std::size_t piece) const { return hashes_[piece]; }

  // Once every piece has its hash:
  void seal();
  Bytes head() const { return std::as_bytes(std::span(head_)); }
  // What content_id is the hash of: the shares of all tensors, in the order of their names.
  const std::map<std::string, std::vector<std::byte>>& identities() const { return identities_; }
  std::vector<std::string> owners() const;  // the tensors that are no aliases
  const std::string& content_id() const { return metadata_.at("vitrail.content_id"); }

 private:
  struct Entry : TiedTensor {
    std::uint64_t begin = 0;  // in the data
    std::size_t first_piece = 0;
  };
  void check(const TensorRecord& tensor) const;
  std::string aliases() const;
  void place();
  void cut(Entry& entry, const TensorRecord& original);
  std::string header() const;

  std::span<const TensorRecord> originals_;
  std::vector<TensorRecord> records_;  // the same without roles
  std::vector<Entry> entries_;         // in the order of names
  std::vector<std::size_t> order_;     // in the order of the file, without aliases
  std::map<std::string, std::string> metadata_;
  std::vector<Piece> pieces_;
  std::vector<Hash128> hashes_;
  std::map<std::string, std::vector<std::byte>> identities_;
  std::string head_;
  std::uint64_t file_bytes_ = 0;
};

// The hash of identities in the order of names, in hexadecimal digits.
std::string content_id_of(const std::map<std::string, std::vector<std::byte>>& identities);

}  // namespace vitrail::format
