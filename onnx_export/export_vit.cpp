#include "onnx_export/export_vit.h"

#include <fmt/format.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/checker.h>

#include <cassert>
#include <exception>

#include "engine/error.h"
#include "format/file.h"
#include "onnx_export/metadata.h"
#include "onnx_export/self_test.h"
#include "onnx_export/vit_graph.h"

namespace vitrail::onnx_export {
namespace {

// A protobuf message ends at 2 GiB; nodes and shapes are far below the reserve.
constexpr std::int64_t kLargestMessage = INT64_C(0x7fffffff);
constexpr std::int64_t kReserve = INT64_C(64) << 20;

void require_computed_dtype(const Model& model) {
  if (model.params.dtype() == DType::f32 || model.params.dtype() == DType::f64) return;
  throw ConfigError(fmt::format("ONNX export: expected weights in f32 or f64, found {}; convert them first",
                                name_of(model.params.dtype())));
}

// Hands a message to the file piece by piece, so that no second copy of it is made. Protobuf's streams are
// not made for exceptions, so one that the file throws waits here.
class FileStream : public google::protobuf::io::CopyingOutputStream {
 public:
  explicit FileStream(format::AtomicFile& file) : file_(file) {}

  bool Write(const void* data, int size) override try {
    const std::span piece(static_cast<const std::byte*>(data), static_cast<std::size_t>(size));
    file_.write(offset_, piece);
    offset_ += piece.size();
    return true;
  } catch (...) {
    error_ = std::current_exception();
    return false;
  }

  void rethrow() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  format::AtomicFile& file_;
  std::uint64_t offset_ = 0;
  std::exception_ptr error_;
};

void write_message(format::AtomicFile& file, const onnx::ModelProto& model) {
  FileStream pieces(file);
  google::protobuf::io::CopyingOutputStreamAdaptor stream(&pieces);
  [[maybe_unused]] const bool written = model.SerializeToZeroCopyStream(&stream) && stream.Flush();
  pieces.rethrow();
  assert(written);
}

}  // namespace

void require_fitting(std::int64_t parameters) {
  const std::int64_t bytes = 4 * parameters;
  if (bytes <= kLargestMessage - kReserve) return;
  throw ConfigError(fmt::format(
      "ONNX export: expected at most {} bytes of weights in f32 (one protobuf message ends at 2 GiB), "
      "found {}; export a smaller architecture",
      kLargestMessage - kReserve, bytes));
}

ExportResult export_vit(const std::filesystem::path& path, const Model& model, Backend& backend) {
  model.config.check();
  require_fitting(model.params.parameters());
  require_computed_dtype(model);
  Graph graph = build_vit(model, backend);
  add_metadata(graph, model);
  add_self_test(graph, model, backend);
  onnx::checker::check_model(graph.model());

  const std::uint64_t bytes = graph.model().ByteSizeLong();
  format::AtomicFile file(path, bytes);
  write_message(file, graph.model());
  file.commit();
  return {.path = path,
          .bytes = bytes,
          .nodes = graph.nodes(),
          .parameters = model.params.parameters(),
          .converted_to_f32 = model.params.dtype() != DType::f32};
}

}  // namespace vitrail::onnx_export
