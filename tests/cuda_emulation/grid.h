#pragma once
// A grid of CUDA threads on one CPU core. Each thread of a block is a fiber; blocks run one after another.
// Everything that waits (barriers, warp operations) is a switch to another fiber. A seed shuffles the order
// of blocks and threads. Threads of a warp are independent, as CUDA allows since Volta: nothing is in step
// that a barrier does not put in step.

#include <vector_types.h>

#include <cstddef>
#include <cstdint>
#include <functional>

#include "tests/cuda_emulation/fault.h"

namespace cuda_emulation {

inline constexpr int kWarp = 32;
inline constexpr std::size_t kStaticSharedBytes = 48 * 1024;
// What a block may have on the smallest of the architectures that the kernels are built for (sm_120).
inline constexpr std::size_t kSharedBytes = 99 * 1024;

struct Grid {
  const char* kernel;
  dim3 blocks, threads;
  std::size_t shared_bytes = 0;  // dynamic
};

// Runs `thread` once for each thread of the grid. Throws Fault.
void run_grid(const Grid& grid, const std::function<void()>& thread);

// 0: threads and blocks in their natural order. Also the order in which streams advance (stream.h).
void set_seed(std::uint64_t seed);
std::uint64_t random_number();  // of the seed's stream

// Grids, blocks and threads that have run since the program began.
struct Counts {
  std::uint64_t grids = 0, blocks = 0, threads = 0;
};
const Counts& counts();

// Of the thread that runs.
extern uint3 thread_index, block_index;
extern dim3 block_extent, grid_extent;
bool in_kernel();

enum class Vote : std::uint8_t { none, count, every, any };
// __syncthreads and its kin; what the vote says of all `predicate`s.
int barrier(const char* name, Vote vote, int predicate, const Site& site);

enum class WarpOp : std::uint8_t {
  sync,
  shuffle,  // the value of lane `source`
  ballot,
  all,
  any,
  match,  // lanes with the same value
  add,    // these on 32 bits
  least_signed,
  most_signed,
  least,
  most,
  bit_and,
  bit_or,
  bit_xor,
  together,
};
// Waits until every lane of `mask` that has not ended is at the same operation in the same line with the same
// mask.
std::uint64_t warp_operation(WarpOp op, const char* name, unsigned mask, std::uint64_t value, int source,
                             const Site& site);
// What all 32 lanes of a warp do together on their registers: `compute` is called once, with each lane's
// `operands`.
void whole_warp(const char* name, void* operands, void (*compute)(void* const* lanes), const Site& site);
int lane();
std::size_t thread_number();  // in the block
unsigned active_lanes();      // lanes of this warp that have not ended

// Shared memory, full of 0xFF bytes (NaN) when a block begins.
std::byte* dynamic_shared_memory();
std::byte* static_shared_memory(int number, std::size_t bytes, std::size_t alignment);
int next_static_shared_number();
bool is_shared(const void* address, std::size_t bytes);  // all in one object of the block's shared memory

}  // namespace cuda_emulation
