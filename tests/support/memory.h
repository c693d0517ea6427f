#pragma once
// Memory of this process as the kernel counts it.

#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <string>

namespace vitrail::test {

// The sanitizers keep freed memory for a while, which is their job and not a leak of ours.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

// Bytes of this process in memory (proc(5), statm).
inline std::int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::int64_t size = 0, resident = 0;
  statm >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

// Of these, bytes that are not pages of a file (proc(5), status).
inline std::int64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  std::int64_t kibibytes = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) kibibytes = std::stoll(line.substr(8));
  }
  return kibibytes * 1024;
}

// The most bytes that were in memory at once since the last call (proc(5), clear_refs and status).
inline std::int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  std::int64_t kibibytes = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) kibibytes = std::stoll(line.substr(6));
  }
  std::ofstream("/proc/self/clear_refs") << 5;
  return kibibytes * 1024;
}

}  // namespace vitrail::test
