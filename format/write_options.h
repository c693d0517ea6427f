#pragma once
// How a container is written; what is in it does not depend on any of this.

#include <algorithm>
#include <functional>

#include "format/file_system.h"
#include "format/tensor_record.h"

namespace vitrail::format {

struct WriteOptions {
  WriteMode mode = WriteMode::automatic;  // one that the system refuses: the next in the enumeration
  // In one write, of which eight are under way; whole pages, at most this. Fewer leave the disk idle between.
  std::size_t block_bytes = std::size_t{4} << 20;
  // Reads everything back, past the page cache where it was written so, before the file takes its place.
  bool read_back = false;
  // Called, in the thread that writes, once a tensor's bytes have been read for the last time: from then on
  // they may change. A tensor for which it was not called when writing ends or fails (an alias, whose bytes
  // are its owner's, or one after an error) will not be read either.
  // With it, a file that did not get to the disk is not written a second time: the tensors are no longer what
  // they were.
  std::function<void(const TensorRecord&)> on_consumed = {};
  FileSystem* files = nullptr;  // the real one
};

// For files that a model of a few hundred tensors is written to in 8 MiB beside it.
inline WriteOptions in_little_memory(WriteOptions options) {
  options.block_bytes = std::min(options.block_bytes, std::size_t{1} << 20);
  return options;
}

}  // namespace vitrail::format
