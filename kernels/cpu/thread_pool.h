#pragma once
// The one pool of threads of a CPU backend. How work is cut into tasks never depends on the number of
// threads, and no two tasks write the same place: so results are the same bits for any number of threads.

#include <cstdint>
#include <memory>
#include <vector>

namespace vitrail::cpu {

// The cores that this process may use; none where the system does not say.
std::vector<int> usable_cores();

class ThreadPool {
 public:
  // pin: each thread but the caller's stays on a core of its own, as far as there are as many. Not the
  // caller's: threads that it starts later would stay on its core too.
  explicit ThreadPool(int threads, bool pin = false);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const;

  // Calls task(index, worker) once for every index in [0, tasks); worker is in [0, threads()). Returns when
  // all are done. Tasks must not throw and must not call parallel_for.
  template <class Task>
  void parallel_for(std::int64_t tasks, const Task& task) {
    run(
        tasks,
        [](const void* body, std::int64_t index, int worker) {
          (*static_cast<const Task*>(body))(index, worker);
        },
        &task);
  }

 private:
  using Function = void (*)(const void* body, std::int64_t index, int worker);
  void run(std::int64_t tasks, Function function, const void* body);

  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitrail::cpu
