// Full verification: every byte of the data region, in parallel and in little memory.

#include <algorithm>
#include <system_error>
#include <thread>

#include "format/block_writer.h"
#include "format/container_leaf.h"
#include "format/part_reader.h"

namespace vitrail::format {
namespace {

constexpr std::uint64_t kWorthAThread = std::uint64_t{8} << 20;  // bytes
constexpr std::uint64_t kRun = kChunkBytes;                      // handed to a thread at a time
constexpr std::size_t kMostLeaves = 1024;                        // the same
// More threads than processors: most of them wait for the disk.
constexpr unsigned kFewestThreads = 8, kMostThreads = 32;
constexpr std::size_t kMemory = std::size_t{8} << 20,
                      kMostAtOnce = std::size_t{1} << 20;  // of all threads; of one

// Hands the leaves of a file to threads, some that follow one another at a time.
class Verifier {
 public:
  Verifier(const Source& source, const FileView& view, const std::function<void(std::uint64_t)>& progress,
           unsigned threads)
      : source_(source),
        view_(view),
        progress_(progress),
        direct_(source),
        at_once_(std::min(kMostAtOnce, kMemory / threads / kPage * kPage)),
        memory_(threads * at_once_) {}

  void work(unsigned thread) try {
    PartReader reader(source_, direct_, {memory_.data() + thread * at_once_, at_once_});
    for (std::vector<Leaf> run; next(run);) {
      reader.begin(begin_of(run.front()), end_of(run.back()));
      for (const Leaf& leaf : run)
        check(leaf, reader);
    }
  } catch (...) {
    const std::scoped_lock lock(mutex_);
    if (!error_) error_ = std::current_exception();
    entry_ = view_.size();
  }

  std::vector<Damage> result() {
    if (error_) std::rethrow_exception(error_);
    std::sort(damage_.begin(), damage_.end(), [](const Damage& a, const Damage& b) {
      return std::pair(a.begin, a.rule) < std::pair(b.begin, b.rule);
    });
    return std::move(damage_);
  }

  // What is behind the last tensor.
  void check_end() {
    std::uint64_t begin = view_.prologue.data_offset;
    for (std::uint64_t row = 0; row < view_.roles.count; ++row)
      begin = view_.role(row).end();
    const std::uint64_t end = view_.prologue.file_bytes - kFooterBytes;
    PartReader reader(source_, direct_, {memory_.data(), at_once_});
    reader.begin(begin, end);
    check_padding(begin, end, reader);
  }

 private:
  bool next(std::vector<Leaf>& run) {
    const std::scoped_lock lock(mutex_);
    run.clear();
    for (std::uint64_t bytes = 0; bytes < kRun && run.size() < kMostLeaves;) {
      while (entry_ < view_.size() && view_.entry(entry_).alias())
        ++entry_;
      if (entry_ >= view_.size()) break;
      const Leaf& leaf = run.emplace_back(leaf_of(view_, entry_, chunk_));
      bytes += leaf.bytes;
      handed_out_ += leaf.bytes;
      if (++chunk_ >= view_.entry(entry_).chunk_count()) {
        ++entry_;
        chunk_ = 0;
      }
    }
    if (progress_ && !run.empty()) progress_(handed_out_);
    return !run.empty();
  }

  // With the padding in front of the tensor.
  std::uint64_t begin_of(const Leaf& leaf) const {
    return leaf.begin == 0 ? end_before(leaf.entry) : view_.entry(leaf.entry).offset() + leaf.begin;
  }
  std::uint64_t end_of(const Leaf& leaf) const {
    return view_.entry(leaf.entry).offset() + leaf.begin + leaf.bytes;
  }

  void check_padding(std::uint64_t begin, std::uint64_t end, PartReader& reader) {
    for (std::uint64_t at = begin; at < end;) {
      const Bytes part = reader.some(at, std::min(end - at, kPage));
      if (std::any_of(part.begin(), part.end(), [](std::byte b) { return b != std::byte{0}; }))
        return found({.rule = Rule::V41, .tensor = {}, .begin = at, .end = end, .expected = {}, .found = {}});
      at += part.size();
    }
  }

  void check(const Leaf& leaf, PartReader& reader) {
    const EntryView entry = view_.entry(leaf.entry);
    if (leaf.begin == 0) {
      check_padding(end_before(leaf.entry), entry.offset(), reader);
      std::optional<Damage> list = damage_of_chunk_list(view_, leaf.entry);
      if (list) found(std::move(*list));
    }
    Hasher128 hasher;
    std::optional<std::uint64_t> stray;  // offset in the leaf of a bool that is none
    for (std::uint64_t at = 0; at < leaf.bytes;) {
      const Bytes part = reader.some(entry.offset() + leaf.begin + at, leaf.bytes - at);
      hasher.add(part);
      if (entry.type() == ElementType::boolean && !stray) stray = first_stray(part, at);
      at += part.size();
    }
    const Hash128 hash = hasher.take();
    if (hash != leaf.hash) found(damage_of(view_, leaf, hash));
    if (stray) found(stray_bool(leaf, *stray));
  }

  static std::optional<std::uint64_t> first_stray(Bytes block, std::uint64_t at) {
    const auto stray = std::find_if(block.begin(), block.end(), [](std::byte b) { return b > std::byte{1}; });
    if (stray == block.end()) return std::nullopt;
    return at + static_cast<std::uint64_t>(stray - block.begin());
  }

  Damage stray_bool(const Leaf& leaf, std::uint64_t at) const {
    Damage damage = damage_of(view_, leaf, {});
    damage.rule = Rule::V42;
    damage.expected = {};
    damage.first_element += at;
    damage.end_element = damage.first_element + 1;
    damage.begin += at;
    damage.end = damage.begin + 1;
    return damage;
  }

  // Where the data before an entry end.
  std::uint64_t end_before(std::uint64_t index) const {
    while (index > 0 && view_.entry(index - 1).alias())
      --index;
    if (index == 0) return view_.prologue.data_offset;
    return view_.entry(index - 1).offset() + view_.entry(index - 1).bytes();
  }

  void found(Damage damage) {
    const std::scoped_lock lock(mutex_);
    damage_.push_back(std::move(damage));
  }

  const Source& source_;
  const FileView& view_;
  const std::function<void(std::uint64_t)>& progress_;
  const DirectFile direct_;
  const std::size_t at_once_;
  const BlockMemory memory_;
  std::mutex mutex_;
  std::uint64_t entry_ = 0, chunk_ = 0;  // of the next leaf
  std::uint64_t handed_out_ = 0;         // bytes
  std::vector<Damage> damage_;
  std::exception_ptr error_;
};

// As many as are of use, or asked for.
unsigned thread_count(unsigned wanted, std::uint64_t bytes) {
  if (wanted == 0) wanted = std::max(kFewestThreads, std::thread::hardware_concurrency());
  return static_cast<unsigned>(std::min<std::uint64_t>({wanted, 1 + bytes / kWorthAThread, kMostThreads}));
}

}  // namespace

std::vector<Damage> Container::find_damage(unsigned threads,
                                           const std::function<void(std::uint64_t)>& progress) const try {
  threads = thread_count(threads, file_bytes());
  Verifier verifier(source_, view_, progress, threads);
  {
    std::vector<std::jthread> others;
    try {
      for (unsigned t = 1; t < threads; ++t)
        others.emplace_back([&verifier, t] { verifier.work(t); });
    } catch (const std::system_error&) {  // fewer do it too
    }
    verifier.work(0);
  }
  verifier.check_end();
  return verifier.result();
} catch (const FormatError& error) {
  throw FormatError::within(name_, error);
}

void Container::verify_all() const {
  const std::vector<Damage> damage = find_damage();
  if (damage.empty()) return;
  throw FormatError::within(name_, FormatError(damage.front().text(), code_of(damage.front().rule)));
}

}  // namespace vitrail::format
