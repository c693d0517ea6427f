#include "format/block_writer.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "format/retry.h"

namespace vitrail::format {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr std::size_t kCached = std::size_t{64} << 10;  // copied, then hashed while it is in the cache

std::size_t whole_pages(std::size_t bytes) {
  return bytes / kPage * kPage;
}

}  // namespace

BlockMemory::BlockMemory(std::size_t bytes) : bytes_(bytes + kHugePage) {
  void* mapped = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  mapped_ = static_cast<std::byte*>(mapped);
  data_ = mapped_ + (kHugePage - reinterpret_cast<std::uintptr_t>(mapped) % kHugePage) % kHugePage;
  // The first touch of a page costs more than copying into it.
  if (bytes >= kHugePage) (void)::madvise(data_, bytes, MADV_HUGEPAGE);
}

BlockMemory::~BlockMemory() {
  ::munmap(mapped_, bytes_);
}

BlockWriter::BlockWriter(AtomicFile& file, std::uint64_t begin, std::uint64_t file_bytes,
                         const WriteOptions& options)
    : file_(file),
      at_(begin),
      file_bytes_(file_bytes),
      block_bytes_(std::min<std::uint64_t>(options.block_bytes, align(file_bytes, kPage))),
      memory_(std::max(kBlocks * block_bytes_, kBlock + kPage)) {
  assert(block_bytes_ % kPage == 0 && block_bytes_ <= kBlock);
  open_queue(options.mode);
}

void BlockWriter::open_queue(WriteMode wanted) {
  if (wanted == WriteMode::automatic) wanted = WriteMode::io_uring;
  for (const WriteMode mode : {WriteMode::io_uring, WriteMode::threads, WriteMode::buffered}) {
    if (mode < wanted) continue;
    queue_ = file_.files().open_queue(file_.handle(), mode, kDepth);
    if (queue_ == nullptr) continue;
    mode_ = queue_->mode();
    return;
  }
  file_.fail("open a queue of writes", -ENOTSUP);
}

unsigned BlockWriter::free_block() {
  for (;;) {
    for (unsigned i = 0; i < kBlocks; ++i) {
      if (!blocks_[i].busy && i != current_) return i;
    }
    wait_one();
  }
}

void BlockWriter::send(unsigned index) {
  blocks_[index].busy = true;
  ready_[ready_count_++] = index;
  submit_ready();
}

void BlockWriter::submit_ready() {
  while (ready_count_ > 0 && under_way_ < kDepth) {
    const unsigned index = ready_[0];
    const Block& block = blocks_[index];
    const int reason =
        uninterrupted([&] { return queue_->submit(block.offset, block.bytes, std::uint64_t{index}); });
    if (reason < 0) file_.fail("write", reason);
    ++under_way_;
    std::shift_left(ready_.begin(), ready_.begin() + ready_count_--, 1);
  }
}

void BlockWriter::wait_one() {
  WriteQueue::Done done;
  const int reason = uninterrupted([&] { return queue_->wait(done); });
  if (reason < 0) file_.fail("wait for a write", reason);
  Block& block = blocks_[done.tag];
  --under_way_;
  block.busy = false;
  const std::int64_t expected = std::ssize(block.bytes);
  const bool again = done.result == -EINTR || done.result == -EAGAIN || done.result == -EINVAL;
  if (done.result < 0 && !again) file_.fail("write", done.result);
  if (done.result != expected) finish_by_hand(block, std::max<std::int64_t>(0, done.result));
  submit_ready();
}

// What is left of a block after a short write need not be aligned, and a refused direct write may be welcome
// through the cache.
void BlockWriter::finish_by_hand(const Block& block, std::int64_t written) {
  if (mode_ != WriteMode::buffered) {
    const int reason = file_.files().set_buffered(file_.handle());
    if (reason < 0) file_.fail("write through the page cache", reason);
    mode_ = WriteMode::buffered;
  }
  const auto done = static_cast<std::size_t>(written);
  file_.write(block.offset + done, block.bytes.subspan(done));
}

void BlockWriter::drain() {
  while (under_way_ > 0)
    wait_one();
}

void BlockWriter::send_current() {
  blocks_[current_] = {at_ - filled_, Bytes(memory(current_), filled_)};
  send(std::exchange(current_, kNone));
  filled_ = 0;
}

// fill(to, done, bytes) provides `bytes` bytes, after the first `done` of them.
template <class Fill>
void BlockWriter::append(std::uint64_t bytes, Fill&& fill) {
  for (std::uint64_t done = 0; done < bytes;) {
    if (current_ == kNone) current_ = free_block();
    const std::size_t part = std::min<std::uint64_t>({bytes - done, block_bytes_ - filled_, kCached});
    fill(memory(current_) + filled_, done, part);
    done += part;
    filled_ += part;
    at_ += part;
    if (filled_ == block_bytes_) send_current();
  }
}

void BlockWriter::zeros(std::uint64_t offset) {
  append(offset - at_, [](std::byte* to, std::uint64_t, std::size_t part) { std::memset(to, 0, part); });
}

Hash128 BlockWriter::put(Bytes bytes) {
  append(bytes.size(), [&](std::byte* to, std::uint64_t done, std::size_t part) {
    std::memcpy(to, bytes.data() + done, part);
    hasher_.add({to, part});
  });
  return hasher_.take();
}

void BlockWriter::flush_pages() {
  if (current_ == kNone) return;
  const std::size_t pages = whole_pages(filled_);
  end_bytes_ = filled_ - pages;
  std::memcpy(end_.data(), memory(current_) + pages, end_bytes_);
  at_ -= end_bytes_;
  filled_ = pages;
  if (pages > 0) return send_current();
  current_ = kNone;
}

void BlockWriter::put_at(std::uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const std::size_t part = std::min(bytes.size(), block_bytes_);
    const unsigned index = free_block();
    std::memcpy(memory(index), bytes.data(), part);
    blocks_[index] = {offset, Bytes(memory(index), part)};
    send(index);
    offset += part;
    bytes = bytes.subspan(part);
  }
}

void BlockWriter::put_end(Bytes bytes) {
  std::memcpy(end_.data() + end_bytes_, bytes.data(), bytes.size());
  put_at(at_, end_);
}

void BlockWriter::put_rest() {
  if (mode_ != WriteMode::buffered) {
    const int reason = file_.files().set_buffered(file_.handle());
    if (reason < 0) file_.fail("write through the page cache", reason);
  }
  file_.write(at_, Bytes(end_).first(end_bytes_));
}

void BlockWriter::expect(std::uint64_t offset, std::uint64_t bytes, const Hash128& hash) {
  const std::uint64_t begin = offset / kPage * kPage,
                      size = std::min(align(offset + bytes, kPage), file_bytes_) - begin;
  const std::span buffer(memory_.data(), size);
  for (std::uint64_t done = 0; done < size;) {
    const std::int64_t result =
        uninterrupted([&] { return file_.files().read(file_.handle(), begin + done, buffer.subspan(done)); });
    if (result <= 0) file_.fail("read back what was written", result < 0 ? result : -EIO);
    done += static_cast<std::uint64_t>(result);
  }
  if (hash128(Bytes(buffer).subspan(offset - begin, bytes)) == hash) return;
  throw SyncError(fmt::format("{}: not what was written: bytes {} to {} read back differently",
                              file_.path().string(), offset, offset + bytes));
}

}  // namespace vitrail::format
