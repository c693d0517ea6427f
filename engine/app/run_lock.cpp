#include "engine/app/run_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "engine/error.h"

namespace vitrail::app {

RunLock::RunLock(const std::filesystem::path& run)
    : descriptor_(::open(run.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  ::close(descriptor_);
  throw ConfigError(fmt::format(
      "{}: another process is training in this folder (its number is in status.json); wait for it, stop it, "
      "or use another folder",
      run.string()));
}

RunLock::~RunLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

}  // namespace vitrail::app
