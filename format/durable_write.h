#pragma once
// When writing a file is tried again.

#include <functional>

#include "format/container.h"
#include "format/file.h"

namespace vitrail::format {

// `once` writes the whole file and returns how. It is called again, with all of the file in memory still,
// when that did not get to the disk, or when the file system cannot rename; never with options.on_consumed,
// because the tensors are no longer what they were. Fills seconds, mode and rewritten.
WriteResult write_durably(const WriteOptions& options,
                          const std::function<WriteMode(AtomicFile::Place)>& once);

}  // namespace vitrail::format
