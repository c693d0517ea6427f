#pragma once
// One process trains in a run folder at a time: two would write over each other's checkpoints.

#include <filesystem>

namespace vitrail::app {

// Held as long as the object lives, and let go by the system when the process dies. Throws ConfigError when
// another process holds it. Where the file system has no locks, none is taken.
class RunLock {
 public:
  explicit RunLock(const std::filesystem::path& run);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

 private:
  int descriptor_ = -1;  // of the folder
};

}  // namespace vitrail::app
