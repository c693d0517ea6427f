#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "format/write_queue.h"

namespace vitrail::format {
namespace {

class ThreadQueue : public WriteQueue {
 public:
  ThreadQueue(int file, WriteMode mode, unsigned threads)
      : file_(file), mode_(mode), most_threads_(threads) {}

  WriteMode mode() const override { return mode_; }

  int submit(std::uint64_t offset, Bytes bytes, std::uint64_t tag) override {
    const std::scoped_lock lock(mutex_);
    if (waiting_.size() >= idle_ && threads_.size() < most_threads_ && !start_thread()) return -EAGAIN;
    waiting_.push_back({offset, bytes, tag});
    work_.notify_one();
    return 0;
  }

  int wait(Done& done) override {
    std::unique_lock lock(mutex_);
    finished_.wait(lock, [&] { return !done_.empty(); });
    done = done_.front();
    done_.pop_front();
    return 0;
  }

 private:
  struct Write {
    std::uint64_t offset;
    Bytes bytes;
    std::uint64_t tag;
  };

  // One thread is enough to go on with.
  bool start_thread() try {
    threads_.emplace_back([this](const std::stop_token& stop) { work(stop); });
    return true;
  } catch (const std::system_error&) {
    return !threads_.empty();
  }

  void work(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    for (;;) {
      ++idle_;
      const bool more = work_.wait(lock, stop, [&] { return !waiting_.empty(); });
      --idle_;
      if (!more) return;
      const Write write = waiting_.front();
      waiting_.pop_front();
      lock.unlock();
      const ssize_t written =
          ::pwrite(file_, write.bytes.data(), write.bytes.size(), static_cast<off_t>(write.offset));
      const std::int64_t result = written < 0 ? -errno : written;
      lock.lock();
      done_.push_back({write.tag, result});
      finished_.notify_one();
    }
  }

  const int file_;
  const WriteMode mode_;
  const std::size_t most_threads_;
  std::mutex mutex_;
  std::condition_variable_any work_;
  std::condition_variable finished_;
  std::deque<Write> waiting_;
  std::deque<Done> done_;
  std::size_t idle_ = 0;
  std::vector<std::jthread> threads_;  // last: joined before what they use goes
};

}  // namespace

std::unique_ptr<WriteQueue> thread_queue(int file, WriteMode mode, unsigned threads) {
  return std::make_unique<ThreadQueue>(file, mode, threads);
}

}  // namespace vitrail::format
