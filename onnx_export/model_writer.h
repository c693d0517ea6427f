#pragma once
// A graph as a file: what is small by protobuf itself, large initialisers streamed behind it, so that no copy
// of the weights is held. Wire format: protobuf.dev, "Encoding"; field numbers: onnx/onnx onnx/onnx.proto;
// data in a file of its own: onnx/onnx docs/ExternalData.md.

#include <filesystem>

#include "onnx_export/graph.h"

namespace vitrail::onnx_export {

// A protobuf message ends at 2 GiB.
inline constexpr std::uint64_t kLargestMessage = 0x7fffffff;
// Where a tensor may begin in external data: what memory maps need.
inline constexpr std::uint64_t kDataAlignment = 4096;

struct WrittenModel {
  std::uint64_t bytes = 0;  // of the file
  std::uint64_t data_bytes = 0;
  std::filesystem::path data_path;  // empty without external data
};

// Writes the graph and, as its last metadata, the hash of everything in it (onnx_export/self_test.h).
// Replaces `path` durably and in one step. Where weights go to a file of their own (because they must, or
// because `external` says so) that is PATH.data, replaced just before. Where anything fails before that, both
// stay as they were. Throws format::FileError.
WrittenModel write_model(const std::filesystem::path& path, const Graph& graph, bool external);

// Of the file without external data.
std::uint64_t message_bytes(const Graph& graph);

}  // namespace vitrail::onnx_export
