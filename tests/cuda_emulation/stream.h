#pragma once
// Streams, events and graphs. Nothing that is put into a stream runs before somebody waits for it: so a copy
// that nobody waited for has not happened yet, and a missing cudaStreamWaitEvent shows. With a seed, streams
// that nobody waits for advance too, now and then.

#include <vector_types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <driver_types.h>

namespace cuda_emulation {

// A graph may be given other numbers, but not other kinds of nodes.
enum class Node : std::uint8_t { kernel, copy, fill, host, event };

struct Operation {
  Node node;
  std::function<void()> run;
};

}  // namespace cuda_emulation

struct CUgraph_st {
  std::vector<cuda_emulation::Operation> operations;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;  // of its capture
  std::thread::id thread = std::this_thread::get_id();       // where that began
};

struct CUgraphExec_st {
  std::vector<cuda_emulation::Operation> operations;
};

struct CUstream_st {
  int gpu = 0;
  std::deque<std::function<void()>> operations;  // that have not run
  std::uint64_t executed = 0;                    // how many have
  CUgraph_st* capture = nullptr;                 // they go there instead
  bool capture_origin = false;
  bool running = false;
  std::uint64_t enqueued() const { return executed + operations.size(); }
};

struct CUevent_st {
  CUstream_st* stream = nullptr;  // where it was recorded last
  std::uint64_t position = 0;     // operations of the stream up to and with the record
  CUgraph_st* capture = nullptr;  // when it was recorded into a graph
  std::chrono::steady_clock::time_point time;
};

namespace cuda_emulation {

// What is put into the null stream runs at once, after everything that all streams hold.
void enqueue(cudaStream_t stream, std::function<void()> operation, Node node = Node::kernel);

// Throws Fault where CUDA refuses calls that are not put into a stream, as those that take memory: while this
// thread captures one, or with cudaStreamCaptureModeGlobal any.
void no_capture_here(const char* what);

void synchronize(cudaStream_t stream);
void synchronize_all();

// The whole of a launch: see cuda_launch.h.
void launch_grid(const char* kernel, dim3 blocks, dim3 threads, std::size_t shared_bytes, cudaStream_t stream,
                 std::function<void()> thread);

}  // namespace cuda_emulation
