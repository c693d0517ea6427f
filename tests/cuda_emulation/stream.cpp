#include "tests/cuda_emulation/stream.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <mutex>

#include "tests/cuda_emulation/fault.h"
#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/lock.h"
#include "tests/cuda_emulation/memory.h"

namespace cuda_emulation {
namespace {

// In the order of their creation: by their addresses, a seed would not mean the same in every run.
std::vector<CUstream_st*>& streams() {
  static std::vector<CUstream_st*> streams;
  return streams;
}

bool exists(const CUstream_st* stream) {
  return std::find(streams().begin(), streams().end(), stream) != streams().end();
}

bool is_null_stream(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
}

void require_stream(const char* what, cudaStream_t stream) {
  if (!exists(stream)) throw Fault(std::string(what) + ": no such stream");
}

void advance(CUstream_st& stream, std::uint64_t position) {
  if (stream.executed >= position) return;
  if (stream.running) throw Fault("streams wait for each other in a circle");
  stream.running = true;
  const DeviceAccess access;
  try {
    while (stream.executed < position) {
      const std::function<void()> operation = std::move(stream.operations.front());
      stream.operations.pop_front();
      ++stream.executed;
      operation();
    }
  } catch (...) {
    stream.running = false;
    throw;
  }
  stream.running = false;
}

// Now and then, as the seed has it, other streams have gone on too.
void advance_others(const CUstream_st* waited_for) {
  for (CUstream_st* stream : streams()) {
    const std::uint64_t random = random_number();
    if (stream == waited_for || stream->running || stream->operations.empty() || random % 2 == 0) continue;
    advance(*stream, stream->executed + (random >> 32) % (stream->operations.size() + 1));
  }
}

void no_capture(const char* what, const CUstream_st& stream) {
  if (stream.capture == nullptr) return;
  throw Fault(std::string(what) + " while the stream is captured into a graph");
}

}  // namespace

std::recursive_mutex& device_lock() {
  static std::recursive_mutex mutex;
  return mutex;
}

void no_capture_here(const char* what) {
  const std::lock_guard guard(device_lock());
  for (const CUstream_st* stream : streams()) {
    const CUgraph_st* const graph = stream->capture;
    if (graph == nullptr || graph->mode == cudaStreamCaptureModeRelaxed) continue;
    if (graph->mode == cudaStreamCaptureModeGlobal || graph->thread == std::this_thread::get_id())
      no_capture(what, *stream);
  }
}

void enqueue(cudaStream_t stream, std::function<void()> operation, Node node) {
  const std::lock_guard guard(device_lock());
  if (is_null_stream(stream)) {
    synchronize_all();
    const DeviceAccess access;
    return operation();
  }
  require_stream("an operation", stream);
  if (stream->capture != nullptr) {
    stream->capture->operations.push_back({node, std::move(operation)});
  } else {
    stream->operations.push_back(std::move(operation));
  }
}

void synchronize(cudaStream_t stream) {
  const std::lock_guard guard(device_lock());
  if (is_null_stream(stream)) return synchronize_all();
  require_stream("cudaStreamSynchronize", stream);
  no_capture("cudaStreamSynchronize", *stream);
  if (random_number() % 2 == 1) advance_others(stream);
  advance(*stream, stream->enqueued());
  advance_others(stream);
}

void synchronize_all() {
  const std::lock_guard guard(device_lock());
  for (CUstream_st* stream : streams()) {
    no_capture("a synchronisation with every stream", *stream);
    advance(*stream, stream->enqueued());
  }
}

void launch_grid(const char* kernel, dim3 blocks, dim3 threads, std::size_t shared_bytes, cudaStream_t stream,
                 std::function<void()> thread) {
  int gpu = 0;
  cudaGetDevice(&gpu);
  if (!is_null_stream(stream) && stream->gpu != gpu) {
    throw Fault(std::string("kernel ") + kernel + ": its stream is of GPU " + std::to_string(stream->gpu) +
                ", and this thread has chosen GPU " + std::to_string(gpu));
  }
  const Grid grid{kernel, blocks, threads, shared_bytes};
  enqueue(stream, [grid, thread = std::move(thread)] { run_grid(grid, thread); });
}

}  // namespace cuda_emulation

using namespace cuda_emulation;

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard guard(device_lock());
  *stream = new CUstream_st;
  cudaGetDevice(&(*stream)->gpu);
  streams().push_back(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, 0);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard guard(device_lock());
  require_stream("cudaStreamDestroy", stream);
  advance(*stream, stream->enqueued());
  std::erase(streams(), stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  synchronize(stream);
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  synchronize_all();
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  const std::lock_guard guard(device_lock());
  require_stream("cudaStreamQuery", stream);
  no_capture("cudaStreamQuery", *stream);
  if (stream->operations.empty()) return cudaSuccess;
  advance(*stream, stream->executed + 1);  // who asks again and again gets there
  return stream->operations.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  enqueue(
      stream, [function, data] { function(data); }, Node::host);
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, 0);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::lock_guard guard(device_lock());
  if (event->stream != nullptr && event->capture == nullptr && exists(event->stream)) {
    advance(*event->stream, event->position);  // the record holds a pointer to the event
  }
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  const std::lock_guard guard(device_lock());
  if (is_null_stream(stream)) synchronize_all();
  event->stream = is_null_stream(stream) ? nullptr : stream;
  event->capture = event->stream == nullptr ? nullptr : stream->capture;
  enqueue(
      stream, [event] { event->time = std::chrono::steady_clock::now(); }, Node::event);
  event->position = event->stream == nullptr ? 0 : stream->enqueued();
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  const std::lock_guard guard(device_lock());
  if (event->capture != nullptr) {  // the stream joins the capture; a graph's operations run in their order
    require_stream("cudaStreamWaitEvent", stream);
    stream->capture = event->capture;
    return cudaSuccess;
  }
  if (event->stream == nullptr) return cudaSuccess;
  CUstream_st* const other = event->stream;
  const std::uint64_t position = event->position;
  if (!is_null_stream(stream)) no_capture("waiting for an event that was recorded outside", *stream);
  enqueue(stream, [other, position] {
    if (exists(other)) advance(*other, position);
  });
  return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard guard(device_lock());
  if (event->capture != nullptr) throw Fault("cudaEventSynchronize: the event was recorded into a graph");
  if (event->stream == nullptr || !exists(event->stream)) return cudaSuccess;
  if (random_number() % 2 == 1) advance_others(event->stream);
  advance(*event->stream, event->position);
  advance_others(event->stream);
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard guard(device_lock());
  if (event->stream == nullptr || event->stream->executed >= event->position) return cudaSuccess;
  advance(*event->stream, event->stream->executed + 1);
  return event->stream->executed >= event->position ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  cudaEventSynchronize(start);
  cudaEventSynchronize(end);
  *milliseconds = std::chrono::duration<float, std::milli>(end->time - start->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard guard(device_lock());
  if (is_null_stream(stream)) throw Fault("cudaStreamBeginCapture: the null stream cannot be captured");
  require_stream("cudaStreamBeginCapture", stream);
  no_capture("cudaStreamBeginCapture", *stream);
  stream->capture = new CUgraph_st;
  stream->capture->mode = mode;
  stream->capture_origin = true;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard guard(device_lock());
  require_stream("cudaStreamEndCapture", stream);
  if (stream->capture == nullptr || !stream->capture_origin) {
    throw Fault("cudaStreamEndCapture: no capture began in this stream");
  }
  if (stream->capture->mode != cudaStreamCaptureModeRelaxed &&
      stream->capture->thread != std::this_thread::get_id()) {
    throw Fault("cudaStreamEndCapture: another thread began the capture");
  }
  *graph = stream->capture;
  for (CUstream_st* other : streams()) {
    if (other->capture == *graph) other->capture = nullptr;
  }
  stream->capture_origin = false;
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard guard(device_lock());
  const bool captures = !is_null_stream(stream) && stream->capture != nullptr;
  *status = captures ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = new CUgraphExec_st{graph->operations};
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const std::lock_guard guard(device_lock());
  for (const Operation& operation : exec->operations)
    enqueue(stream, operation.run, operation.node);
  return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* info) {
  const std::lock_guard guard(device_lock());
  const auto same_node = [](const Operation& a, const Operation& b) { return a.node == b.node; };
  *info = {};
  if (exec->operations.size() != graph->operations.size()) {
    info->result = cudaGraphExecUpdateErrorTopologyChanged;
  } else if (!std::equal(exec->operations.begin(), exec->operations.end(), graph->operations.begin(),
                         same_node)) {
    info->result = cudaGraphExecUpdateErrorNodeTypeChanged;
  } else {
    exec->operations = graph->operations;
    return cudaSuccess;
  }
  return cudaErrorGraphExecUpdateFailure;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete exec;
  return cudaSuccess;
}
