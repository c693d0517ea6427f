#pragma once
// A file written front to back in aligned blocks, several of them on their way to the disk while the next is
// filled and hashed.

#include <array>

#include "format/file.h"
#include "format/hash.h"
#include "format/layout.h"
#include "format/write_options.h"

namespace vitrail::format {

// Memory for blocks: page-aligned, and not touched before it is needed.
class BlockMemory {
 public:
  explicit BlockMemory(std::size_t bytes);  // throws std::bad_alloc
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;
  ~BlockMemory();
  std::byte* data() const { return data_; }

 private:
  std::byte *mapped_, *data_;
  std::size_t bytes_;
};

class BlockWriter {
 public:
  static constexpr std::size_t kBlock = std::size_t{4} << 20;
  static constexpr unsigned kDepth = 8;  // blocks under way
  // With those filled meanwhile: a disk may report many blocks at once, and would stand still while the next
  // is filled.
  static constexpr unsigned kBlocks = kDepth + 4;

  // What is written begins at `begin`, a whole number of pages. `file` must outlive the writer.
  BlockWriter(AtomicFile& file, std::uint64_t begin, std::uint64_t file_bytes, const WriteOptions& options);

  // Zeros up to `offset`, which is not behind what was written before.
  void zeros(std::uint64_t offset);
  // At the end of what was written before; returns the hash of what was written. The bytes are copied: what
  // is hashed is what is written, and blocks in large pages reach the disk faster than bytes scattered over
  // small ones.
  Hash128 put(Bytes bytes);
  // Sends what is left of the current block, less an incomplete page at its end, which stays for footer().
  void flush_pages();
  // Waits until all that was sent has been written.
  void drain();
  // A whole number of pages at `offset`.
  void put_at(std::uint64_t offset, Bytes bytes);
  // Completes the page that flush_pages() kept.
  void put_end(Bytes bytes);
  // Writes what flush_pages() kept, where the file is no whole number of pages: all that was sent has been
  // written, and what follows goes through the page cache.
  void put_rest();
  // Throws SyncError when the file does not hold, at `offset`, bytes of this hash; at most kBlock,
  // and all that was sent has been written.
  void expect(std::uint64_t offset, std::uint64_t bytes, const Hash128& hash);

  // What was used: buffered once a direct write was refused.
  WriteMode mode() const { return mode_; }

 private:
  struct Block {
    std::uint64_t offset = 0;
    Bytes bytes;
    bool busy = false;  // filled, and not yet on the disk
  };
  static constexpr unsigned kNone = kBlocks;

  void open_queue(WriteMode wanted);
  std::byte* memory(unsigned block) const { return memory_.data() + block * block_bytes_; }
  unsigned free_block();
  void send(unsigned block);
  void submit_ready();
  void send_current();
  void wait_one();
  void finish_by_hand(const Block& block, std::int64_t written);
  template <class Fill>
  void append(std::uint64_t bytes, Fill&& fill);

  AtomicFile& file_;
  std::uint64_t at_;
  const std::uint64_t file_bytes_;
  Hasher128 hasher_;
  const std::size_t block_bytes_;  // the whole file where that is less
  BlockMemory memory_;
  std::array<Block, kBlocks> blocks_{};
  std::array<unsigned, kBlocks> ready_{};  // filled and not submitted, oldest first
  unsigned ready_count_ = 0, current_ = kNone, under_way_ = 0;
  std::size_t filled_ = 0, end_bytes_ = 0;  // of the current block; of end_
  std::array<std::byte, kPage> end_{};      // an incomplete last page
  WriteMode mode_ = WriteMode::buffered;
  std::unique_ptr<WriteQueue> queue_;  // last: waits for writes from the memory above
};

}  // namespace vitrail::format
