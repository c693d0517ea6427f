#include "engine/update_gate.h"

#include <chrono>

namespace vitrail {

void UpdateGate::close(std::vector<int> readings, int gradients) {
  const std::lock_guard lock(mutex_);
  readings_ = std::move(readings);
  gradients_ = gradients;
}

void UpdateGate::release(std::size_t parameter) {
  {
    const std::lock_guard lock(mutex_);
    if (readings_.empty() || --readings_[parameter] > 0) return;
  }
  changed_.notify_one();
}

void UpdateGate::release_gradient() {
  {
    const std::lock_guard lock(mutex_);
    if (gradients_ == 0 || --gradients_ > 0) return;
  }
  changed_.notify_one();
}

void UpdateGate::open() {
  {
    const std::lock_guard lock(mutex_);
    readings_.clear();
    gradients_ = 0;
  }
  changed_.notify_one();
}

template <class Condition>
void UpdateGate::await(std::unique_lock<std::mutex>& lock, const Condition& condition) {
  if (condition()) return;
  const auto start = std::chrono::steady_clock::now();
  changed_.wait(lock, condition);
  seconds_waited_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::vector<std::size_t> UpdateGate::take_free(std::vector<std::size_t>& parameters) {
  std::vector<std::size_t> free;
  const auto take = [&] {
    std::erase_if(parameters, [&](std::size_t parameter) {
      if (!is_free(parameter)) return false;
      free.push_back(parameter);
      return true;
    });
    return !free.empty();
  };
  std::unique_lock lock(mutex_);
  await(lock, take);
  return free;
}

void UpdateGate::await_gradients() {
  std::unique_lock lock(mutex_);
  await(lock, [&] { return gradients_ == 0; });
}

}  // namespace vitrail
