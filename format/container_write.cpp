#include "format/block_writer.h"
#include "format/container_plan.h"
#include "format/durable_write.h"

namespace vitrail::format {
namespace {

using Place = AtomicFile::Place;

void write_tensors(ContainerPlan& plan, BlockWriter& out, const WriteOptions& options) {
  for (std::size_t i = 0; i < plan.pieces().size(); ++i) {
    const Piece& piece = plan.pieces()[i];
    out.zeros(piece.offset);
    plan.set_hash(i, out.put(piece.bytes));
    if (piece.completes != nullptr && options.on_consumed) options.on_consumed(*piece.completes);
  }
  out.zeros(plan.file_bytes() - kFooterBytes);
  out.flush_pages();
  out.drain();
}

void read_back(const ContainerPlan& plan, BlockWriter& out) {
  for (std::size_t i = 0; i < plan.pieces().size(); ++i) {
    const Piece& piece = plan.pieces()[i];
    if (!piece.bytes.empty()) out.expect(piece.offset, piece.bytes.size(), plan.hash(i));
  }
  for (std::uint64_t at = 0; at < plan.head().size(); at += kChunkBytes) {
    const Bytes part = plan.head().subspan(at, std::min(kChunkBytes, plan.head().size() - at));
    out.expect(at, part.size(), hash128(part));
  }
  out.expect(plan.file_bytes() - kFooterBytes, kFooterBytes, hash128(plan.footer()));
}

WriteMode write_once(const std::filesystem::path& path, ContainerPlan& plan, const WriteOptions& options,
                     Place place) {
  FileSystem& files = options.files != nullptr ? *options.files : real_file_system();
  AtomicFile file(path, plan.file_bytes(), Durability::durable, files, place);
  BlockWriter out(file, plan.data_offset(), plan.file_bytes(), options);
  write_tensors(plan, out, options);
  plan.seal();
  out.put_at(0, plan.head());
  out.drain();
  // The footer says that the file is complete. Under a temporary name nobody looks at it before it is; else
  // it must not come to the disk before the rest.
  if (place == Place::direct) file.sync();
  out.put_end(plan.footer());
  out.drain();
  file.sync();
  if (options.read_back) read_back(plan, out);
  file.commit();
  return out.mode();
}

}  // namespace

WriteResult write_container(const std::filesystem::path& path, const ContainerContents& contents,
                            const WriteOptions& options) try {
  ContainerPlan plan(contents);
  WriteResult result =
      write_durably(options, [&](Place place) { return write_once(path, plan, options, place); });
  result.file_bytes = plan.file_bytes();
  result.content_id = to_hex(plan.content_id());
  return result;
} catch (const FormatError& error) {
  throw FormatError::within(path.string() + ": not written", error);
}

}  // namespace vitrail::format
