// Opening and verifying a container, beside reading it: verify_speed FILE
// Times are the shortest of five, from the page cache and from the disk; peak memory is that of the whole
// program.

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "format/block_writer.h"
#include "format/container.h"

namespace {

using namespace vitrail::format;

template <class Call>
double seconds_of(const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Every byte of the file once, and nothing done with it: in the way that is fastest from the page cache, or
// from the disk, which is past the cache and in large pieces.
void read_all(const char* path, std::uint64_t bytes, bool cold) {
  constexpr std::uint64_t kShare = std::uint64_t{4} << 20;
  const std::uint64_t block_bytes = cold ? kShare : std::uint64_t{256} << 10;
  const int file = ::open(path, O_RDONLY | O_CLOEXEC | (cold ? O_DIRECT : 0));
  if (file < 0) throw std::runtime_error("cannot be opened for reads past the page cache");
  std::atomic<std::uint64_t> next = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1U, std::thread::hardware_concurrency()); ++t) {
    threads.emplace_back([&] {
      const BlockMemory block(block_bytes);
      for (std::uint64_t share = next.fetch_add(kShare); share < bytes; share = next.fetch_add(kShare)) {
        for (std::uint64_t at = share; at < std::min(share + kShare, bytes); at += block_bytes)
          (void)!::pread(file, block.data(), block_bytes, static_cast<off_t>(at));
      }
    });
  }
  for (std::thread& thread : threads)
    thread.join();
  ::close(file);
}

void drop_cache(const char* path) {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  (void)::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
  ::close(file);
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::fprintf(stderr, "usage: verify_speed FILE\n");
    return 2;
  }
  const char* path = argv[1];
  double open = 1e9, read[2] = {1e9, 1e9}, verify[2] = {1e9, 1e9};
  for (int i = 0; i < 20; ++i)
    open = std::min(open, seconds_of([&] { (void)Container::open(path); }));
  const Container file = Container::open(path);
  const auto bytes = static_cast<double>(file.file_bytes());
  for (int round = 0; round < 5; ++round) {  // alternating, as both share the disk with others
    for (int cold : {0, 1}) {
      if (cold == 1)
        drop_cache(path);
      else
        read_all(path, file.file_bytes(), false);  // fills it
      read[cold] = std::min(read[cold], seconds_of([&] { read_all(path, file.file_bytes(), cold == 1); }));
      if (cold == 1) drop_cache(path);
      verify[cold] = std::min(verify[cold], seconds_of([&] { file.verify_all(); }));
    }
  }
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  std::printf("open and verify the structure: %.3f ms\n", open * 1e3);
  std::printf("from the page cache: read %.2f GB/s, verify %.2f GB/s (%.0f %%)\n", bytes / read[0] * 1e-9,
              bytes / verify[0] * 1e-9, 100 * read[0] / verify[0]);
  std::printf("from the disk:       read %.2f GB/s, verify %.2f GB/s (%.0f %%)\n", bytes / read[1] * 1e-9,
              bytes / verify[1] * 1e-9, 100 * read[1] / verify[1]);
  std::printf("peak memory %.1f MiB\n", static_cast<double>(usage.ru_maxrss) / 1024);
} catch (const std::exception& error) {
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
