#pragma once
// The fibers of one block and who runs next. Used by grid.cpp alone.

#include <vector_types.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/cuda_emulation/grid.h"

namespace cuda_emulation {

enum class State : std::uint8_t { ready, at_barrier, at_warp_operation, ended };

struct Request {
  const char* name = "";
  Site site;
  Vote vote = Vote::none;
  WarpOp op = WarpOp::sync;
  unsigned mask = 0;
  int source = 0;
  std::uint64_t value = 0;
  std::uint64_t result = 0;
  void* operands = nullptr;
  void (*compute)(void* const* lanes) = nullptr;
};

struct Fiber {
  boost::context::detail::fcontext_t context = nullptr;
  uint3 index{};
  int number = 0;  // in the block
  State state = State::ended;
  Request request;  // what it waits for
};

class Scheduler {
 public:
  // Runs one block. Throws Fault.
  void run_block(const Grid& grid, const std::function<void()>& thread);

  // Called by the fiber that runs.
  int barrier(const Request& request);
  std::uint64_t warp_operation(const Request& request);
  [[noreturn]] void abandon(std::string what);
  // From a signal handler: the address is that of the memory that could not be reached.
  [[noreturn]] void abandon_for_signal(int signal, const void* address);

  bool running() const { return running_ != &main_; }
  const Fiber& current() const { return *running_; }
  unsigned active_lanes() const;

 private:
  static void entry(boost::context::detail::transfer_t from);

  void prepare(const Grid& grid);
  void shuffle_threads();
  void leave();
  void switch_to(Fiber& next);
  void end_running();
  void release_barrier();
  bool try_warp(const Fiber& fiber);
  bool agree(const Fiber& fiber, unsigned lanes);
  void finish_warp(const Fiber& fiber, unsigned lanes);
  std::uint64_t combined(const Fiber& fiber, unsigned lanes) const;
  void compute_together(const Fiber& fiber, unsigned lanes);
  std::uint64_t shuffled(const Fiber& fiber, unsigned lanes);
  void make_ready(Fiber& fiber);
  void make_first(Fiber& fiber);
  bool is_hasty(const Fiber& fiber) const { return (hasty_ >> (fiber.number / kWarp) & 1) != 0; }
  Fiber& lane_of(const Fiber& fiber, int lane) {
    return fibers_[first_of_warp(fiber) + static_cast<unsigned>(lane)];
  }
  const Fiber& lane_of(const Fiber& fiber, int lane) const {
    return fibers_[first_of_warp(fiber) + static_cast<unsigned>(lane)];
  }
  static std::size_t first_of_warp(const Fiber& fiber) {
    return static_cast<std::size_t>(fiber.number / kWarp * kWarp);
  }
  std::string who_waits() const;
  void check_stacks() const;
  void throw_fault(const Grid& grid);

  std::vector<Fiber> fibers_;
  std::vector<int> order_;          // of the threads, shuffled
  std::vector<unsigned> existing_;  // of each warp: lanes that have not ended
  std::vector<unsigned> waiting_;   // of each warp: lanes at a warp operation
  std::vector<Fiber*> ready_;       // a ring
  std::size_t ready_first_ = 0, ready_count_ = 0;
  unsigned hasty_ = 0;  // warps that run on to the next barrier before others have their turn
  std::size_t live_ = 0, at_barrier_ = 0;
  Fiber main_;
  Fiber* running_ = &main_;
  const std::function<void()>* thread_ = nullptr;
  std::string fault_;
  int signal_ = 0;
  const void* address_ = nullptr;
  uint3 culprit_{};  // the thread that was abandoned
};

}  // namespace cuda_emulation
