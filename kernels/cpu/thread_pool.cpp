#include "kernels/cpu/thread_pool.h"

#include <sched.h>

#include <atomic>
#include <cassert>
#include <thread>
#include <vector>

namespace vitrail::cpu {
namespace {

// Ops follow each other within microseconds, so a worker looks for work for some tens of microseconds before
// it sleeps: waking a thread costs more than many of the ops.
constexpr int kSpins = 4000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// A hint: where it is refused, the thread runs as before.
void stay_on(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  (void)sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

std::vector<int> usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  }
  return cores;
}

// A job is open while `phase` is odd. A worker first counts itself in, then looks at the phase again; the
// caller first closes the job, then waits until nobody is counted in: one of the two always sees the other,
// so the job's fields are never changed under a worker's hands, and a worker that sleeps through a whole job
// is not waited for.
struct ThreadPool::State {
  std::vector<std::thread> workers;
  alignas(64) std::atomic<int> phase = 0;
  alignas(64) std::atomic<int> inside = 0;
  alignas(64) std::atomic<std::int64_t> next = 0;
  alignas(64) std::atomic<bool> stop = false;
  std::int64_t tasks = 0;
  Function function = nullptr;
  const void* body = nullptr;

  void claim(int worker) {
    for (std::int64_t index = next.fetch_add(1, std::memory_order_relaxed); index < tasks;
         index = next.fetch_add(1, std::memory_order_relaxed)) {
      function(body, index, worker);
    }
  }

  // Returns the phase that differs from `seen`.
  int await_change(int seen) const {
    for (int spin = 0; spin < kSpins; ++spin) {
      const int now = phase.load(std::memory_order_acquire);
      if (now != seen) return now;
      pause();
    }
    phase.wait(seen, std::memory_order_acquire);
    return phase.load(std::memory_order_acquire);
  }

  void work(int worker) {
    int seen = 0;
    while (!stop.load(std::memory_order_acquire)) {
      if (seen % 2 != 0) {
        inside.fetch_add(1);
        if (phase.load() % 2 != 0) claim(worker);
        inside.fetch_sub(1);
      }
      seen = await_change(seen);
    }
  }

  void await_workers() const {
    for (int spin = 0; inside.load() != 0; ++spin) {
      if (spin < kSpins) {
        pause();
      } else {
        std::this_thread::yield();
      }
    }
  }
};

ThreadPool::ThreadPool(int threads, bool pin) : state_(std::make_unique<State>()) {
  assert(threads >= 1);
  const std::vector<int> cores = pin ? usable_cores() : std::vector<int>{};
  for (int worker = 1; worker < threads; ++worker) {
    const int core = cores.empty() ? -1 : cores[static_cast<std::size_t>(worker) % cores.size()];
    state_->workers.emplace_back([state = state_.get(), worker, core] {
      if (core >= 0) stay_on(core);
      state->work(worker);
    });
  }
}

ThreadPool::~ThreadPool() {
  state_->stop.store(true, std::memory_order_release);
  state_->phase.fetch_add(2);
  state_->phase.notify_all();
  for (std::thread& worker : state_->workers)
    worker.join();
}

int ThreadPool::threads() const {
  return static_cast<int>(state_->workers.size()) + 1;
}

void ThreadPool::run(std::int64_t tasks, Function function, const void* body) {
  State& state = *state_;
  state.tasks = tasks;
  state.function = function;
  state.body = body;
  state.next.store(0, std::memory_order_relaxed);
  if (tasks < 2 || state.workers.empty()) return state.claim(0);
  state.phase.fetch_add(1);
  state.phase.notify_all();
  state.claim(0);
  state.phase.fetch_add(1);
  state.await_workers();
}

}  // namespace vitrail::cpu
