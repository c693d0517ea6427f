#include "kernels/cpu/thread_pool.h"

#include <doctest/doctest.h>
#include <sched.h>

#include <atomic>
#include <memory>
#include <vector>

namespace vitrail::test {
namespace {

cpu_set_t own_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  return set;
}

TEST_CASE("thread_pool: pinned, each thread but the caller's has one core, in turn") {
  const cpu_set_t all = own_cores();
  cpu::ThreadPool pool(CPU_COUNT(&all) + 2, true);
  std::vector<cpu_set_t> cores(static_cast<std::size_t>(pool.threads()));
  std::atomic<int> arrived = 0;
  // All threads must come, so that each has one of the tasks.
  pool.parallel_for(pool.threads(), [&](std::int64_t, int worker) {
    cores[static_cast<std::size_t>(worker)] = own_cores();
    ++arrived;
    while (arrived < pool.threads())
      sched_yield();
  });
  CHECK(CPU_EQUAL(&cores[0], &all));
  cpu_set_t used;
  CPU_ZERO(&used);
  for (std::size_t worker = 1; worker < cores.size(); ++worker) {
    CHECK(CPU_COUNT(&cores[worker]) == 1);
    CPU_OR(&used, &used, &cores[worker]);
  }
  CHECK(CPU_EQUAL(&used, &all));
}

TEST_CASE("thread_pool: every index once, by a worker that exists, again and again") {
  for (int threads : {1, 2, 3, 7}) {
    cpu::ThreadPool pool(threads);
    CHECK(pool.threads() == threads);
    for (std::int64_t tasks : {0, 1, 2, 3, 7, 8, 100, 1000}) {
      for (int again = 0; again < 20; ++again) {
        std::vector<std::atomic<int>> calls(static_cast<std::size_t>(tasks));
        std::atomic<bool> worker_exists = true;
        pool.parallel_for(tasks, [&](std::int64_t index, int worker) {
          ++calls[static_cast<std::size_t>(index)];
          if (worker < 0 || worker >= threads) worker_exists = false;
        });
        int wrong = 0;
        for (const auto& count : calls)
          wrong += count != 1;
        CHECK(wrong == 0);
        CHECK(worker_exists);
      }
    }
  }
}

TEST_CASE("thread_pool: one worker never runs two tasks at once, and all is done on return") {
  constexpr int kThreads = 3;
  cpu::ThreadPool pool(kThreads);
  std::vector<std::int64_t> sums(kThreads, 0);  // not atomic: a sanitizer sees a worker that is two threads
  for (int again = 0; again < 50; ++again) {
    pool.parallel_for(
        200, [&](std::int64_t index, int worker) { sums[static_cast<std::size_t>(worker)] += index; });
  }
  CHECK(sums[0] + sums[1] + sums[2] == 50 * 199 * 200 / 2);
}

TEST_CASE("thread_pool: pools come and go, used or not") {
  for (int i = 0; i < 50; ++i) {
    cpu::ThreadPool pool(1 + i % 5);
    std::atomic<int> calls = 0;
    if (i % 2 == 0) pool.parallel_for(i, [&](std::int64_t, int) { ++calls; });
    CHECK(calls == (i % 2 == 0 ? i : 0));
  }
}

}  // namespace
}  // namespace vitrail::test
