// Opening and verifying a container, beside reading it: verify_speed FILE
// Times are of the page cache as it is; peak memory is that of the whole program.

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <string>
#include <thread>
#include <vector>

#include "format/container.h"

namespace {

using namespace vitrail::format;

template <class Call>
double seconds_of(const Call& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Every byte of the file once, by as many threads as verification has, and nothing done with it.
void read_all(const char* path, std::uint64_t bytes) {
  constexpr std::uint64_t kBlock = std::uint64_t{256} << 10, kShare = std::uint64_t{4} << 20;
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  std::atomic<std::uint64_t> next = 0;
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < std::max(1U, std::thread::hardware_concurrency()); ++t) {
    threads.emplace_back([&] {
      std::vector<std::byte> block(kBlock);
      for (std::uint64_t share = next.fetch_add(kShare); share < bytes; share = next.fetch_add(kShare)) {
        for (std::uint64_t at = share; at < std::min(share + kShare, bytes); at += kBlock)
          (void)!::pread(file, block.data(), kBlock, static_cast<off_t>(at));
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

int main(int argc, char** argv) {
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
      if (cold == 1) drop_cache(path);
      read[cold] = std::min(read[cold], seconds_of([&] { read_all(path, file.file_bytes()); }));
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
}
