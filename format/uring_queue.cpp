#include <liburing.h>

#include <cerrno>

#include "format/write_queue.h"

namespace vitrail::format {
namespace {

class UringQueue : public WriteQueue {
 public:
  // Takes over an initialised ring.
  UringQueue(int file, const io_uring& ring) : file_(file), ring_(ring) {}
  UringQueue(const UringQueue&) = delete;
  UringQueue& operator=(const UringQueue&) = delete;
  ~UringQueue() override {
    Done done;
    while (under_way_ > 0) {
      const int reason = wait(done);
      if (reason < 0 && reason != -EINTR) break;
    }
    ::io_uring_queue_exit(&ring_);
  }

  WriteMode mode() const override { return WriteMode::io_uring; }

  int submit(std::uint64_t offset, Bytes bytes, std::uint64_t tag) override {
    if (!unsubmitted_) {
      io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
      if (entry == nullptr) return -EBUSY;
      ::io_uring_prep_write(entry, file_, bytes.data(), static_cast<unsigned>(bytes.size()), offset);
      entry->user_data = tag;
    }
    // An entry cannot be taken back: after an interruption the caller repeats the call, and the same is
    // submitted.
    const int submitted = ::io_uring_submit(&ring_);
    unsubmitted_ = submitted < 1;
    if (unsubmitted_) return submitted < 0 ? submitted : -EAGAIN;
    ++under_way_;
    return 0;
  }

  int wait(Done& done) override {
    io_uring_cqe* entry = nullptr;
    const int reason = ::io_uring_wait_cqe(&ring_, &entry);
    if (reason < 0) return reason;
    done = {entry->user_data, entry->res};
    ::io_uring_cqe_seen(&ring_, entry);
    --under_way_;
    return 0;
  }

 private:
  int file_;
  io_uring ring_;
  unsigned under_way_ = 0;
  bool unsubmitted_ = false;
};

bool can_write(io_uring& ring) {
  io_uring_probe* probe = ::io_uring_get_probe_ring(&ring);
  const bool can = probe != nullptr && ::io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0;
  ::io_uring_free_probe(probe);
  return can;
}

}  // namespace

std::unique_ptr<WriteQueue> uring_queue(int file, unsigned depth) {
  io_uring ring{};
  if (::io_uring_queue_init(depth, &ring, 0) < 0) return nullptr;
  if (can_write(ring)) return std::make_unique<UringQueue>(file, ring);
  ::io_uring_queue_exit(&ring);
  return nullptr;
}

}  // namespace vitrail::format
