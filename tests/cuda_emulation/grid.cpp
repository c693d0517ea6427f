#include "tests/cuda_emulation/grid.h"

#include <cstring>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "tests/cuda_emulation/async_copies.h"
#include "tests/cuda_emulation/memory.h"
#include "tests/cuda_emulation/scheduler.h"

namespace cuda_emulation {

uint3 thread_index{}, block_index{};
dim3 block_extent, grid_extent;

namespace {

constexpr int kPoison = 0xFF;  // NaN in every float
constexpr std::size_t kGuard = 256;

std::uint64_t seed_state = 0;

Scheduler& scheduler() {
  static Scheduler scheduler;
  return scheduler;
}

// One region of a block's shared memory between guards.
struct Region {
  std::size_t begin = 0, bytes = 0;
};

// What a block has of shared memory. Objects lie apart, with poison between them.
class SharedMemory {
 public:
  void begin(const Grid& grid) {
    dynamic_ = {kGuard, grid.shared_bytes};
    used_ = 2 * kGuard + (grid.shared_bytes + 15) / 16 * 16;
    static_bytes_ = 0;
    objects_.clear();
    std::memset(memory_, kPoison, dirty_ < used_ ? used_ : dirty_);
    dirty_ = used_;
  }
  std::byte* dynamic() { return memory_ + dynamic_.begin; }
  std::byte* object(int number, std::size_t bytes, std::size_t alignment);
  void check(const Grid& grid) const;
  bool holds(const std::byte* address, std::size_t bytes) const;

 private:
  std::size_t check_from(std::size_t from, const Region& region, const Grid& grid) const;

  static constexpr std::size_t kBytes = kSharedBytes + kStaticSharedBytes + 64 * kGuard;
  alignas(128) std::byte memory_[kBytes];
  Region dynamic_;
  std::map<int, Region> objects_;
  std::size_t used_ = 0, static_bytes_ = 0, dirty_ = kBytes;
};

std::byte* SharedMemory::object(int number, std::size_t bytes, std::size_t alignment) {
  const auto known = objects_.find(number);
  if (known != objects_.end()) return memory_ + known->second.begin;
  const std::size_t begin = (used_ + alignment - 1) / alignment * alignment;
  static_bytes_ += bytes;
  if (static_bytes_ > kStaticSharedBytes || static_bytes_ + dynamic_.bytes > kSharedBytes) {
    fail("static shared memory of " + std::to_string(static_bytes_) + " bytes beside " +
         std::to_string(dynamic_.bytes) + " dynamic ones: the limits are " +
         std::to_string(kStaticSharedBytes) + " and " + std::to_string(kSharedBytes) + " together");
  }
  objects_[number] = {begin, bytes};
  used_ = begin + bytes + kGuard;
  std::memset(memory_ + dirty_, kPoison, used_ > dirty_ ? used_ - dirty_ : 0);
  dirty_ = used_ > dirty_ ? used_ : dirty_;
  return memory_ + begin;
}

std::size_t SharedMemory::check_from(std::size_t from, const Region& region, const Grid& grid) const {
  for (std::size_t i = from; i < region.begin; ++i) {
    if (memory_[i] == std::byte{kPoison}) continue;
    throw Fault(std::string("kernel ") + grid.kernel + ": shared memory was written outside its objects, " +
                std::to_string(region.begin - i) + " bytes before one of " + std::to_string(region.bytes) +
                " bytes, " + std::to_string(i - from) + " behind the end of the one before it");
  }
  return region.begin + region.bytes;
}

void SharedMemory::check(const Grid& grid) const {
  std::size_t from = check_from(0, dynamic_, grid);
  std::map<std::size_t, Region> in_order;
  for (const auto& object : objects_)
    in_order[object.second.begin] = object.second;
  for (const auto& object : in_order)
    from = check_from(from, object.second, grid);
  check_from(from, {used_, 0}, grid);
}

bool SharedMemory::holds(const std::byte* address, std::size_t bytes) const {
  const auto within = [&](const Region& region) {
    return address >= memory_ + region.begin && address + bytes <= memory_ + region.begin + region.bytes;
  };
  if (within(dynamic_)) return true;
  for (const auto& object : objects_)
    if (within(object.second)) return true;
  return false;
}

SharedMemory& shared_memory() {
  static SharedMemory memory;
  return memory;
}

Counts counted;

void check_launch(const Grid& grid) {
  const std::string name = std::string("launch of ") + grid.kernel + ": ";
  const std::uint64_t threads = std::uint64_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  if (threads == 0 || threads > 1024 || grid.threads.z > 64) {
    throw Fault(name + std::to_string(threads) + " threads a block; expected 1 to 1024");
  }
  if (grid.blocks.x == 0 || grid.blocks.y == 0 || grid.blocks.z == 0 || grid.blocks.x > 0x7fffffff ||
      grid.blocks.y > 65535 || grid.blocks.z > 65535) {
    throw Fault(name + "a grid of (" + std::to_string(grid.blocks.x) + ", " + std::to_string(grid.blocks.y) +
                ", " + std::to_string(grid.blocks.z) + ") blocks; expected 1 to (2147483647, 65535, 65535)");
  }
  if (grid.shared_bytes > kSharedBytes) {
    throw Fault(name + std::to_string(grid.shared_bytes) + " bytes of shared memory; the limit is " +
                std::to_string(kSharedBytes));
  }
}

}  // namespace

std::string to_string(const Site& site) {
  if (site.line == 0) return "an unknown place";
  const std::string file = site.file;
  const std::size_t slash = file.find_last_of('/');
  return (slash == std::string::npos ? file : file.substr(slash + 1)) + ":" + std::to_string(site.line);
}

void fail(const std::string& what, const Site& site) {
  const std::string text = site.line == 0 ? what : what + ", in " + to_string(site);
  if (in_kernel()) scheduler().abandon(text);
  throw Fault(text);
}

bool in_kernel() {
  return scheduler().running();
}

const Counts& counts() {
  return counted;
}

void set_seed(std::uint64_t seed) {
  seed_state = seed * 0x9E3779B97F4A7C15u;
}

std::uint64_t random_number() {
  if (seed_state == 0) return 0;
  seed_state ^= seed_state << 13;  // xorshift64 (Marsaglia, 2003)
  seed_state ^= seed_state >> 7;
  seed_state ^= seed_state << 17;
  return seed_state;
}

void run_grid(const Grid& grid, const std::function<void()>& thread) {
  check_launch(grid);
  grid_extent = grid.blocks;
  block_extent = grid.threads;
  const std::uint64_t blocks = std::uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z;
  const std::size_t threads = std::size_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  // Blocks in a random order: a stride that shares no factor with their number.
  const std::uint64_t start = random_number() % blocks;
  std::uint64_t stride = 1 + random_number() % blocks;
  while (std::gcd(stride, blocks) != 1)
    ++stride;
  ++counted.grids;
  const std::function<void()> whole_thread = [&] {
    thread();
    end_copies();
  };
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t number = (start + i * (stride % blocks)) % blocks;
    block_index = {static_cast<unsigned>(number % grid.blocks.x),
                   static_cast<unsigned>(number / grid.blocks.x % grid.blocks.y),
                   static_cast<unsigned>(number / grid.blocks.x / grid.blocks.y)};
    shared_memory().begin(grid);
    begin_copies(threads);
    try {
      scheduler().run_block(grid, whole_thread);
    } catch (...) {
      mend_guards();  // one fault, one report
      throw;
    }
    shared_memory().check(grid);
  }
  counted.blocks += blocks;
  counted.threads += blocks * threads;
  check_guards(grid.kernel);
}

int barrier(const char* name, Vote vote, int predicate, const Site& site) {
  return scheduler().barrier(
      {.name = name, .site = site, .vote = vote, .value = static_cast<std::uint64_t>(predicate != 0)});
}

std::uint64_t warp_operation(WarpOp op, const char* name, unsigned mask, std::uint64_t value, int source,
                             const Site& site) {
  return scheduler().warp_operation(
      {.name = name, .site = site, .op = op, .mask = mask, .source = source, .value = value});
}

void whole_warp(const char* name, void* operands, void (*compute)(void* const* lanes), const Site& site) {
  scheduler().warp_operation({.name = name,
                              .site = site,
                              .op = WarpOp::together,
                              .mask = 0xffffffffu,
                              .operands = operands,
                              .compute = compute});
}

int lane() {
  return scheduler().current().number % kWarp;
}

std::size_t thread_number() {
  return static_cast<std::size_t>(scheduler().current().number);
}

unsigned active_lanes() {
  return scheduler().active_lanes();
}

std::byte* dynamic_shared_memory() {
  return shared_memory().dynamic();
}

std::byte* static_shared_memory(int number, std::size_t bytes, std::size_t alignment) {
  return shared_memory().object(number, bytes, alignment);
}

bool is_shared(const void* address, std::size_t bytes) {
  return shared_memory().holds(static_cast<const std::byte*>(address), bytes);
}

int next_static_shared_number() {
  static int next = 0;
  return next++;
}

void abandon_for_signal(int signal, const void* address) {
  scheduler().abandon_for_signal(signal, address);
}

}  // namespace cuda_emulation
