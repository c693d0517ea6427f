#include "tests/cuda_emulation/async_copies.h"

#include <cstring>
#include <string>
#include <unordered_set>
#include <vector>

#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/memory.h"

namespace cuda_emulation {
namespace {

constexpr int kBytes = 16, kPoison = 0xFF;

struct Copy {
  std::byte* to;
  const std::byte* from;
  int bytes;
  Site site;
};
using Group = std::vector<Copy>;

struct Copies {
  Group open;                 // not committed
  std::vector<Group> groups;  // the oldest first
};

struct Block {
  std::vector<Copies> threads;
  std::unordered_set<const void*> on_their_way;  // to these addresses of shared memory
};

Block& block() {
  static Block block;
  return block;
}

Copies& mine() {
  return block().threads[thread_number()];
}

void arrive(const Copy& copy) {
  std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.bytes));
  std::memset(copy.to + copy.bytes, 0, static_cast<std::size_t>(kBytes - copy.bytes));
  block().on_their_way.erase(copy.to);
}

void require_aligned(const char* which, const void* address, const Site& site) {
  const auto place = reinterpret_cast<std::uintptr_t>(address);
  if (place % kBytes == 0) return;
  fail(std::string("cp.async: the address in ") + which + " is misaligned: it ends in " +
           std::to_string(place % 256) + " (modulo 256), not a multiple of 16",
       site);
}

}  // namespace

void start_copy(void* shared, const void* global, int bytes, const Site& site) {
  require_aligned("shared memory", shared, site);
  require_aligned("device memory", global, site);
  if (bytes < 0 || bytes > kBytes) {
    fail("cp.async: " + std::to_string(bytes) + " bytes; expected 0 to 16", site);
  }
  if (!is_shared(shared, kBytes)) fail("cp.async: it goes outside the block's shared memory", site);
  if (bytes > 0 && !holds_device(global, static_cast<std::size_t>(bytes))) {
    fail("cp.async: it reads what is not device memory, or beyond the end of an allocation", site);
  }
  if (!block().on_their_way.insert(shared).second) {
    fail("cp.async: another copy to the same place is on its way", site);
  }
  std::memset(shared, kPoison, kBytes);
  mine().open.push_back(
      {static_cast<std::byte*>(shared), static_cast<const std::byte*>(global), bytes, site});
}

void commit_copies() {
  mine().groups.push_back(std::move(mine().open));
  mine().open.clear();
}

void wait_for_copies(int left) {
  auto& groups = mine().groups;
  const auto there = static_cast<std::ptrdiff_t>(groups.size()) - left;
  if (there <= 0) return;
  for (auto group = groups.begin(); group != groups.begin() + there; ++group)
    for (const Copy& copy : *group)
      arrive(copy);
  groups.erase(groups.begin(), groups.begin() + there);
}

bool is_on_its_way(const void* shared) {
  return block().on_their_way.contains(shared);
}

void begin_copies(std::size_t threads) {
  block().threads.assign(threads, {});
  block().on_their_way.clear();
}

void end_copies() {
  if (!mine().open.empty()) {
    fail("cp.async: the thread ended without a commit of this copy", mine().open.front().site);
  }
  for (const Group& group : mine().groups) {
    if (!group.empty()) fail("cp.async: the thread ended without a wait for this copy", group.front().site);
  }
}

}  // namespace cuda_emulation
