// Full verification: every byte of the data region, in parallel and in little memory.

#include <algorithm>
#include <thread>

#include "format/container_leaf.h"

namespace vitrail::format {
namespace {

constexpr std::uint64_t kBlock = std::uint64_t{256} << 10;       // stays in the second-level cache
constexpr std::uint64_t kWorthAThread = std::uint64_t{8} << 20;  // bytes
constexpr unsigned kMaxThreads = 32;

// Hands the leaves of a file to threads, one after another.
class Verifier {
 public:
  Verifier(const Source& source, const FileView& view, const std::function<void(std::uint64_t)>& progress)
      : source_(source), view_(view), progress_(progress) {}

  void work() try {
    std::vector<std::byte> buffer(source_.on_disk() ? kBlock : 0);
    for (Leaf leaf; next(leaf);)
      check(leaf, buffer);
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

  // What is in front of the first tensor, or behind the last.
  void check_padding(std::uint64_t begin, std::uint64_t end) {
    std::byte buffer[kPage];
    while (begin < end) {
      const std::uint64_t bytes = std::min<std::uint64_t>(end - begin, sizeof(buffer));
      const std::span<std::byte> part = std::span(buffer).first(bytes);
      source_.read(begin, part);
      const auto stray =
          std::find_if(part.begin(), part.end(), [](std::byte b) { return b != std::byte{0}; });
      if (stray != part.end())
        return found(
            {.rule = Rule::V41, .tensor = {}, .begin = begin, .end = end, .expected = {}, .found = {}});
      begin += bytes;
    }
  }

 private:
  bool next(Leaf& leaf) {
    const std::scoped_lock lock(mutex_);
    while (entry_ < view_.size() && view_.entry(entry_).alias())
      ++entry_;
    if (entry_ >= view_.size()) return false;
    leaf = leaf_of(view_, entry_, chunk_);
    handed_out_ += leaf.bytes;
    if (progress_) progress_(handed_out_);
    if (++chunk_ >= view_.entry(entry_).chunk_count()) {
      ++entry_;
      chunk_ = 0;
    }
    return true;
  }

  void check(const Leaf& leaf, std::span<std::byte> buffer) {
    const EntryView entry = view_.entry(leaf.entry);
    if (leaf.begin == 0) {
      check_padding(end_before(leaf.entry), entry.offset());
      std::optional<Damage> list = damage_of_chunk_list(view_, leaf.entry);
      if (list) found(std::move(*list));
    }
    Hasher128 hasher;
    std::optional<std::uint64_t> stray;  // offset in the leaf of a bool that is none
    for (std::uint64_t at = 0; at < leaf.bytes; at += kBlock) {
      const std::uint64_t bytes = std::min(kBlock, leaf.bytes - at);
      const Bytes block = bytes_at(entry.offset() + leaf.begin + at, bytes, buffer);
      hasher.add(block);
      if (entry.type() == ElementType::boolean && !stray) stray = first_stray(block, at);
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

  Bytes bytes_at(std::uint64_t offset, std::uint64_t bytes, std::span<std::byte> buffer) const {
    if (!source_.on_disk()) return source_.bytes().subspan(offset, bytes);
    source_.read(offset, buffer.first(bytes));
    return buffer.first(bytes);
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
  std::mutex mutex_;
  std::uint64_t entry_ = 0, chunk_ = 0;  // of the next leaf
  std::uint64_t handed_out_ = 0;         // bytes
  std::vector<Damage> damage_;
  std::exception_ptr error_;
};

std::uint64_t data_end(const FileView& view) {
  std::uint64_t end = view.prologue.data_offset;
  for (std::uint64_t row = 0; row < view.roles.count; ++row)
    end = view.role(row).end();
  return end;
}

}  // namespace

std::vector<Damage> Container::find_damage(unsigned threads,
                                           const std::function<void(std::uint64_t)>& progress) const try {
  Verifier verifier(source_, view_, progress);
  const std::uint64_t useful = 1 + file_bytes() / kWorthAThread;
  const unsigned wanted = threads == 0 ? std::max(1U, std::thread::hardware_concurrency()) : threads;
  std::vector<std::thread> others;
  for (unsigned t = 1; t < std::min<std::uint64_t>({wanted, useful, kMaxThreads}); ++t)
    others.emplace_back([&verifier] { verifier.work(); });
  verifier.work();
  for (std::thread& other : others)
    other.join();
  verifier.check_padding(data_end(view_), file_bytes() - kFooterBytes);
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
