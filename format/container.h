#pragma once
// The `.vitrail` container (SPEC.md): metadata and tensors in one file, every byte under a hash, mapped or
// read, and replaced atomically for writing. It knows no model.

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <string_view>

#include "format/damage.h"
#include "format/file_kind.h"
#include "format/hash.h"
#include "format/message.h"
#include "format/source.h"
#include "format/tensor_record.h"
#include "format/verify.h"
#include "format/write_options.h"

namespace vitrail::format {

// What a file of a later version holds besides metadata fields, which the root keeps by itself.
struct LaterVersion {
  std::uint16_t minor = kMinor;
  std::uint64_t optional_features = 0, reserved = 0;
  std::uint32_t entry_bytes = kEntryBytes, role_bytes = kRoleBytes;
  std::map<Role, std::vector<std::byte>> role_rows;
};

// `root` without the fields the writer derives from the tensors (names, tensors, chunk hashes, roles).
struct ContainerContents {
  FileKind kind = FileKind::weights;
  Table root;
  std::vector<TensorRecord> tensors;  // in any order; no two with the same role and name
  LaterVersion later = {};            // of a file that is copied
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

struct OpenOptions {
  Access access = Access::automatic;
};

struct Leaf;  // format/container_leaf.h

// A tensor handed to a container must be one of its own tensors(). Reading is safe from several threads.
class Container {
 public:
  // Checks everything but the tensors' own bytes. Throws FormatError, FileError.
  static Container open(const std::filesystem::path& path, const OpenOptions& options = {});
  // The same over bytes that outlive the container; `name` is for messages.
  static Container open(Bytes bytes, std::string name);

  FileKind kind() const { return view_.prologue.kind; }
  const Table& root() const { return root_; }
  // Their `bytes` are empty when the file is read and not mapped.
  const std::vector<TensorRecord>& tensors() const { return tensors_; }
  const TensorRecord* find(Role role, std::string_view name) const;  // null when there is none
  // Tensors of `role` whose name matches `pattern`, where * stands for any characters and ? for one.
  std::vector<const TensorRecord*> select(Role role, std::string_view pattern = "*") const;
  // The same over all roles.
  std::vector<const TensorRecord*> select(std::string_view pattern) const;

  // The tensor's bytes, checked against their hashes before they are used for the first time. Throws
  // FormatError naming tensor, chunk and elements; also for an element type that this build does not know. A
  // view of the mapping, or of memory that the container keeps when the file is not mapped.
  Bytes read(const TensorRecord& tensor) const;
  // The same into memory of the caller, of byte_size(tensor).
  void read(const TensorRecord& tensor, std::span<std::byte> out) const;
  // The same piece by piece, in order, in pieces of at most 4 MiB: `take` gets the offset of the first byte
  // and the bytes, which are checked and are gone when it returns. Needs memory for one piece alone.
  void stream(const TensorRecord& tensor, const std::function<void(std::uint64_t, Bytes)>& take) const;
  // Rows first to first + count − 1 of the first axis. Touches and checks only the chunks they lie in.
  void read_rows(const TensorRecord& tensor, std::uint64_t first, std::uint64_t count,
                 std::span<std::byte> out) const;
  // read() for copying: element types of a later version too.
  Bytes raw(const TensorRecord& tensor) const;
  std::uint64_t byte_size(const TensorRecord& tensor) const { return entry(tensor).bytes(); }
  std::uint64_t offset(const TensorRecord& tensor) const { return entry(tensor).offset(); }  // in the file

  // As the file states them, unchecked: what two files differ in can be told without reading tensors.
  Hash128 hash(const TensorRecord& tensor) const { return entry(tensor).hash(); }
  // One a chunk of 4 MiB; none for a tensor of at most that.
  std::span<const Hash128> chunk_hashes(const TensorRecord& tensor) const;
  std::optional<Hash128> role_hash(Role role) const;  // nothing when no tensor has it

  // Every damaged place in the tensors and the padding between them, in the order of the file: with nothing
  // found, no byte of the file is damaged. Reads the whole file with at most `threads` threads (0: as many
  // as keep processors and disk busy), in at most 12 MiB of memory; what the page cache does not hold is read
  // past it.
  // `progress` is told how many bytes have been handed to them, from one thread at a time.
  std::vector<Damage> find_damage(unsigned threads = 0,
                                  const std::function<void(std::uint64_t bytes)>& progress = {}) const;
  // Throws the first of them as FormatError.
  void verify_all() const;

  std::uint64_t file_bytes() const { return view_.prologue.file_bytes; }
  std::string content_id() const { return to_hex(view_.prologue.content_id); }
  const std::string& name() const { return name_; }
  bool mapped() const { return source_.in_memory(); }
  // The metadata where they lie, and what a later version has added.
  const FileView& view() const { return view_; }
  LaterVersion later() const;

 private:
  enum class LeafState : std::uint8_t { unknown, ok, bad };
  // What changes while a container is read.
  struct Reading {
    explicit Reading(std::size_t leaves) : states(leaves) {}
    std::vector<std::atomic<LeafState>> states;  // one a leaf: a small tensor, or a chunk of a large one
    std::mutex mutex;
    std::map<std::uint64_t, std::vector<std::byte>> buffers;  // by offset; of tensors that are not mapped
  };

  void parse();
  void load_head();
  void list_tensors();
  std::uint64_t index(const TensorRecord& tensor) const;
  EntryView entry(const TensorRecord& tensor) const { return view_.entry(index(tensor)); }
  void require_known_type(const TensorRecord& tensor) const;
  void check_chunk_list(std::uint64_t index) const;
  std::atomic<LeafState>& state(const Leaf& leaf) const;
  void check(const Leaf& leaf, Bytes bytes) const;
  Bytes buffered(std::uint64_t index) const;
  void read_checked(std::uint64_t index, std::span<std::byte> out) const;
  void read_part(const Leaf& leaf, std::uint64_t begin, std::span<std::byte> out) const;

  std::string name_;
  Source source_;
  std::vector<std::byte> head_;  // when it is not in memory anyway
  FileView view_;
  Table root_;
  std::vector<TensorRecord> tensors_;
  std::vector<std::uint64_t> first_leaf_;  // one a tensor; an alias has its owner's
  std::vector<Hash128> chunks_;
  std::unique_ptr<Reading> reading_;
};

LaterVersion later_of(const FileView& view);

// Text that matches a pattern, where * stands for any characters and ? for one.
bool matches(std::string_view pattern, std::string_view text);

}  // namespace vitrail::format
