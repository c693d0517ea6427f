#include "format/durable_write.h"

#include <chrono>

namespace vitrail::format {

WriteResult write_durably(const WriteOptions& options,
                          const std::function<WriteMode(AtomicFile::Place)>& once) {
  const auto start = std::chrono::steady_clock::now();
  WriteResult result;
  for (auto place = AtomicFile::Place::beside;;) {
    try {
      result.mode = once(place);
      break;
    } catch (const SyncError&) {
      if (options.on_consumed || result.rewritten) throw;
    } catch (const RenameError&) {
      if (options.on_consumed) throw;
      place = AtomicFile::Place::direct;
    }
    result.rewritten = true;
  }
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

}  // namespace vitrail::format
