#pragma once
// The queues of the real file system.

#include "format/file_system.h"

namespace vitrail::format {

// Null when the system refuses io_uring, as many containers do.
std::unique_ptr<WriteQueue> uring_queue(int file, unsigned depth);

// pwrite in up to `threads` threads, started as they are needed; `mode` is what the file was set to.
std::unique_ptr<WriteQueue> thread_queue(int file, WriteMode mode, unsigned threads);

}  // namespace vitrail::format
