#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "format/container_plan.h"

namespace vitrail::format {
namespace {

// Gaps are written as zeros, not left to the file system.
class Sequential {
 public:
  Sequential(AtomicFile& file, std::uint64_t begin) : file_(file), at_(begin) {}
  void put(std::uint64_t offset, Bytes bytes) {
    static constexpr std::byte kZeros[kPage] = {};
    while (at_ < offset) {
      const std::uint64_t gap = std::min<std::uint64_t>(offset - at_, sizeof(kZeros));
      file_.write(at_, Bytes(kZeros, gap));
      at_ += gap;
    }
    file_.write(offset, bytes);
    at_ = offset + bytes.size();
  }

 private:
  AtomicFile& file_;
  std::uint64_t at_;
};

}  // namespace

WriteResult write_container(const std::filesystem::path& path, const ContainerContents& contents,
                            const WriteOptions& options) try {
  const auto start = std::chrono::steady_clock::now();
  ContainerPlan plan(contents);
  AtomicFile file(path, plan.file_bytes());
  Sequential out(file, plan.data_offset());
  for (std::size_t i = 0; i < plan.pieces().size(); ++i) {
    const Piece& piece = plan.pieces()[i];
    plan.set_hash(i, hash128(piece.bytes));
    out.put(piece.offset, piece.bytes);
    if (piece.completes != nullptr && options.on_consumed) options.on_consumed(*piece.completes);
  }
  plan.seal();
  file.write(0, plan.head());
  out.put(plan.file_bytes() - kFooterBytes, plan.footer());
  file.commit();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  return {plan.file_bytes(), to_hex(plan.content_id()), elapsed.count()};
} catch (const FormatError& error) {
  throw FormatError::within(path.string() + ": not written", error);
}

}  // namespace vitrail::format
