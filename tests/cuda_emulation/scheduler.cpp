#include "tests/cuda_emulation/scheduler.h"

#include <csignal>
#include <numeric>

#include "tests/cuda_emulation/fiber_stacks.h"

namespace cuda_emulation {
namespace {

using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

const FiberStacks& stacks() {
  static const FiberStacks stacks;
  return stacks;
}

std::string to_string(const uint3& index) {
  return "(" + std::to_string(index.x) + ", " + std::to_string(index.y) + ", " + std::to_string(index.z) +
         ")";
}

constexpr unsigned bit(int lane) {
  return 1u << lane;
}

Scheduler* scheduler_of_entry = nullptr;  // one grid runs at a time

}  // namespace

void Scheduler::entry(transfer_t from) {
  static_cast<Fiber*>(from.data)->context = from.fctx;
  Scheduler& scheduler = *scheduler_of_entry;
  (*scheduler.thread_)();
  scheduler.end_running();
}

void Scheduler::prepare(const Grid& grid) {
  const std::size_t count = std::size_t{grid.threads.x} * grid.threads.y * grid.threads.z;
  const std::size_t warps = (count + kWarp - 1) / kWarp;
  fibers_.resize(count);
  ready_.resize(count + 1);
  existing_.assign(warps, 0);
  waiting_.assign(warps, 0);
  ready_first_ = ready_count_ = at_barrier_ = 0;
  live_ = count;
  for (std::size_t i = 0; i < count; ++i) {
    Fiber& fiber = fibers_[i];
    const auto number = static_cast<unsigned>(i);
    fiber.index = {number % grid.threads.x, number / grid.threads.x % grid.threads.y,
                   number / grid.threads.x / grid.threads.y};
    fiber.number = static_cast<int>(i);
    const std::span<std::byte> stack = stacks().of(i);
    fiber.context = make_fcontext(stack.data() + stack.size(), stack.size(), entry);
    existing_[i / kWarp] |= bit(static_cast<int>(i % kWarp));
  }
}

void Scheduler::shuffle_threads() {
  order_.resize(fibers_.size());
  std::iota(order_.begin(), order_.end(), 0);
  for (std::size_t i = order_.size(); i > 1; --i) {
    const std::uint64_t random = random_number();
    if (random == 0) return;  // no seed
    std::swap(order_[i - 1], order_[random % i]);
  }
}

void Scheduler::run_block(const Grid& grid, const std::function<void()>& thread) {
  scheduler_of_entry = this;
  thread_ = &thread;
  fault_.clear();
  signal_ = 0;
  prepare(grid);
  shuffle_threads();
  hasty_ = static_cast<unsigned>(random_number() >> 32);
  for (int number : order_)
    make_ready(fibers_[static_cast<std::size_t>(number)]);
  switch_to(*ready_[ready_first_]);
  if (!fault_.empty() || signal_ != 0) throw_fault(grid);
  if (live_ > 0) {
    throw Fault(std::string("kernel ") + grid.kernel + ", block " + to_string(block_index) + ": " +
                who_waits());
  }
  check_stacks();
}

// From the running fiber (or from the main one) to `next`, which stands first in the ring.
void Scheduler::switch_to(Fiber& next) {
  Fiber& self = *running_;
  if (&next != &main_) {
    ready_first_ = ready_first_ + 1 == ready_.size() ? 0 : ready_first_ + 1;
    --ready_count_;
  }
  if (&next == &self) return;
  running_ = &next;
  thread_index = next.index;
  const transfer_t from = jump_fcontext(next.context, &self);
  static_cast<Fiber*>(from.data)->context = from.fctx;
}

// The running fiber waits or has ended: another one's turn, or the main one's when none can move.
void Scheduler::leave() {
  switch_to(ready_count_ > 0 ? *ready_[ready_first_] : main_);
}

// The next to run: in front of all that are ready.
void Scheduler::make_first(Fiber& fiber) {
  fiber.state = State::ready;
  ready_first_ = (ready_first_ == 0 ? ready_.size() : ready_first_) - 1;
  ++ready_count_;
  ready_[ready_first_] = &fiber;
}

void Scheduler::make_ready(Fiber& fiber) {
  fiber.state = State::ready;
  std::size_t place = ready_first_ + ready_count_++;
  if (place >= ready_.size()) place -= ready_.size();
  ready_[place] = &fiber;
}

void Scheduler::end_running() {
  Fiber& self = *running_;
  self.state = State::ended;
  --live_;
  const std::size_t first = first_of_warp(self);
  existing_[first / kWarp] &= ~bit(self.number % kWarp);
  if (live_ > 0 && at_barrier_ == live_) release_barrier();
  // Those that waited for this lane need not wait any more.
  for (std::size_t i = first; i < first + kWarp && i < fibers_.size(); ++i) {
    if (fibers_[i].state == State::at_warp_operation) try_warp(fibers_[i]);
  }
  leave();
  __builtin_unreachable();
}

int Scheduler::barrier(const Request& request) {
  Fiber& self = *running_;
  self.request = request;
  self.state = State::at_barrier;
  ++at_barrier_;
  if (at_barrier_ == live_) release_barrier();
  leave();
  return static_cast<int>(self.request.result);
}

void Scheduler::release_barrier() {
  const Fiber* first = nullptr;
  int count = 0;
  for (const Fiber& fiber : fibers_) {
    if (fiber.state != State::at_barrier) continue;
    if (first == nullptr) first = &fiber;
    count += fiber.request.value != 0;
    if (fiber.request.site.line != first->request.site.line || fiber.request.name != first->request.name) {
      abandon("divergent barrier: thread " + to_string(first->index) + " waits at " + first->request.name +
              " in " + cuda_emulation::to_string(first->request.site) + ", thread " + to_string(fiber.index) +
              " at " + fiber.request.name + " in " + cuda_emulation::to_string(fiber.request.site));
    }
  }
  const bool every = static_cast<std::size_t>(count) == at_barrier_;
  at_barrier_ = 0;
  // Another order every time, at the price of one random number.
  const std::uint64_t random = random_number();
  const std::size_t n = order_.size(), start = random % n;
  const bool backwards = (random >> 40 & 1) != 0;
  hasty_ = static_cast<unsigned>(random >> 8);
  for (const bool hasty : {true, false}) {
    if (hasty && hasty_ == 0) continue;
    for (std::size_t i = 0; i < n; ++i) {
      const std::size_t place = start + i < n ? start + i : start + i - n;
      Fiber& fiber = fibers_[static_cast<std::size_t>(order_[backwards ? n - 1 - place : place])];
      if (fiber.state != State::at_barrier || is_hasty(fiber) != hasty) continue;
      const Vote vote = fiber.request.vote;
      fiber.request.result = static_cast<std::uint64_t>(vote == Vote::count   ? count
                                                        : vote == Vote::every ? every
                                                                              : count > 0);
      make_ready(fiber);
    }
  }
}

std::uint64_t Scheduler::warp_operation(const Request& request) {
  Fiber& self = *running_;
  self.request = request;
  const int lane = self.number % kWarp;
  if ((request.mask & bit(lane)) == 0) {
    abandon(std::string(request.name) + " in " + cuda_emulation::to_string(request.site) + ": lane " +
            std::to_string(lane) + " calls it with a mask that does not name it");
  }
  self.state = State::at_warp_operation;
  waiting_[first_of_warp(self) / kWarp] |= bit(lane);
  try_warp(self);
  leave();
  return self.request.result;
}

// Lets the fiber's operation happen when all whom its mask names are there.
bool Scheduler::try_warp(const Fiber& fiber) {
  const std::size_t warp = first_of_warp(fiber) / kWarp;
  const unsigned lanes = fiber.request.mask & existing_[warp];
  if ((lanes & ~waiting_[warp]) != 0 || !agree(fiber, lanes)) return false;
  finish_warp(fiber, lanes);
  return true;
}

bool Scheduler::agree(const Fiber& fiber, unsigned lanes) {
  const Request& mine = fiber.request;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    const Request& other = lane_of(fiber, __builtin_ctz(rest)).request;
    if (other.name != mine.name || other.mask != mine.mask || other.site.line != mine.site.line) return false;
  }
  return true;
}

void Scheduler::finish_warp(const Fiber& fiber, unsigned lanes) {
  const WarpOp op = fiber.request.op;
  if (op == WarpOp::together) compute_together(fiber, lanes);
  const std::uint64_t together = combined(fiber, lanes);
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1) {
    Fiber& other = lane_of(fiber, __builtin_ctz(rest));
    if (op == WarpOp::shuffle) {
      other.request.result = shuffled(other, lanes);
    } else if (op == WarpOp::match) {
      other.request.result = combined(other, lanes);
    } else {
      other.request.result = together;
    }
  }
  waiting_[first_of_warp(fiber) / kWarp] &= ~lanes;
  const auto turn = static_cast<int>(random_number() >> 20 & (kWarp - 1));
  const bool hasty = is_hasty(fiber);
  for (int i = 0; i < kWarp; ++i) {
    const int lane = i ^ turn;
    if ((lanes & bit(lane)) == 0) continue;
    hasty ? make_first(lane_of(fiber, lane)) : make_ready(lane_of(fiber, lane));
  }
}

void Scheduler::compute_together(const Fiber& fiber, unsigned lanes) {
  const Request& request = fiber.request;
  if (~lanes != 0) {
    abandon(std::string(request.name) + " in " + cuda_emulation::to_string(request.site) +
            " wants all 32 lanes of a warp; lane " + std::to_string(__builtin_ctz(~lanes)) +
            " has ended or never was");
  }
  void* operands[kWarp];
  for (int lane = 0; lane < kWarp; ++lane)
    operands[lane] = lane_of(fiber, lane).request.operands;
  request.compute(operands);
}

std::uint64_t Scheduler::shuffled(const Fiber& fiber, unsigned lanes) {
  const Request& request = fiber.request;
  if ((lanes & bit(request.source)) == 0) {
    abandon(std::string(request.name) + " in " + cuda_emulation::to_string(request.site) + ": lane " +
            std::to_string(fiber.number % kWarp) + " reads from lane " + std::to_string(request.source) +
            ", which takes no part or has ended");
  }
  return lane_of(fiber, request.source).request.value;
}

std::uint64_t Scheduler::combined(const Fiber& fiber, unsigned lanes) const {
  const WarpOp op = fiber.request.op;
  std::uint64_t total = op == WarpOp::all ? 1 : 0;
  bool first = true;
  for (unsigned rest = lanes; rest != 0; rest &= rest - 1, first = false) {
    const int lane = __builtin_ctz(rest);
    const std::uint64_t value = lane_of(fiber, lane).request.value;
    const auto word = static_cast<std::uint32_t>(value), sofar = static_cast<std::uint32_t>(total);
    const auto number = static_cast<std::int32_t>(word), best = static_cast<std::int32_t>(sofar);
    switch (op) {
      case WarpOp::sync:
      case WarpOp::shuffle:
      case WarpOp::together:
        break;
      case WarpOp::ballot:
        total |= value != 0 ? bit(lane) : 0;
        break;
      case WarpOp::all:
        total = total != 0 && value != 0;
        break;
      case WarpOp::any:
        total = total != 0 || value != 0;
        break;
      case WarpOp::match:
        total |= value == fiber.request.value ? bit(lane) : 0;
        break;
      case WarpOp::add:
        total = sofar + word;
        break;
      case WarpOp::least_signed:
        total = first || number < best ? word : sofar;
        break;
      case WarpOp::most_signed:
        total = first || number > best ? word : sofar;
        break;
      case WarpOp::least:
        total = first || word < sofar ? word : sofar;
        break;
      case WarpOp::most:
        total = first || word > sofar ? word : sofar;
        break;
      case WarpOp::bit_and:
        total = first ? word : sofar & word;
        break;
      case WarpOp::bit_or:
        total |= word;
        break;
      case WarpOp::bit_xor:
        total ^= word;
        break;
    }
  }
  return total;
}

unsigned Scheduler::active_lanes() const {
  return existing_[first_of_warp(*running_) / kWarp];
}

void Scheduler::abandon(std::string what) {
  fault_ = std::move(what);
  culprit_ = running_->index;
  switch_to(main_);
  __builtin_unreachable();  // nobody comes back to a fiber that was given up
}

void Scheduler::abandon_for_signal(int signal, const void* address) {
  signal_ = signal;  // no text here: a handler must not allocate
  address_ = address;
  culprit_ = running_->index;
  switch_to(main_);
  __builtin_unreachable();
}

std::string Scheduler::who_waits() const {
  std::string text = "divergent barrier: nothing can move;";
  int named = 0;
  const Request* last = nullptr;
  for (const Fiber& fiber : fibers_) {
    if (fiber.state == State::ended || named == 4) continue;
    const Request& request = fiber.request;
    if (last != nullptr && last->name == request.name && last->site.line == request.site.line) continue;
    text += std::string(named > 0 ? "," : "") + " thread " + to_string(fiber.index) + " waits at " +
            request.name + " in " + cuda_emulation::to_string(request.site);
    last = &request;
    ++named;
  }
  if (live_ < fibers_.size()) text += "; " + std::to_string(fibers_.size() - live_) + " threads have ended";
  return text;
}

void Scheduler::check_stacks() const {
  for (const Fiber& fiber : fibers_) {
    if (stacks().is_whole(static_cast<std::size_t>(fiber.number))) continue;
    throw Fault("the stack of an emulated thread (" + std::to_string(kStackBytes) +
                " bytes) ran over: arrays of one thread are too large");
  }
}

void Scheduler::throw_fault(const Grid& grid) {
  std::string text = std::string("kernel ") + grid.kernel + ", block " + to_string(block_index) +
                     ", thread " + to_string(culprit_) + ": ";
  if (signal_ == SIGFPE) {
    text += "an integer was divided by zero";
  } else if (signal_ != 0) {
    char address[32];
    std::snprintf(address, sizeof(address), "%p", address_);
    text += std::string("access out of bounds, at the address ") + address;
  } else {
    text += fault_;
  }
  throw Fault(text);
}

}  // namespace cuda_emulation
