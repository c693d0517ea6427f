// The CUDA runtime's functions that the program uses (its own header declares them), but for streams.

#include <cuda_runtime_api.h>

#include <cstring>
#include <string>

#include "tests/cuda_emulation/fault.h"
#include "tests/cuda_emulation/grid.h"
#include "tests/cuda_emulation/lock.h"
#include "tests/cuda_emulation/memory.h"
#include "tests/cuda_emulation/stream.h"

using namespace cuda_emulation;

namespace {

constexpr int kGpus = 2;  // that share their memory here
thread_local int chosen_gpu = 0;

bool reads_device(const void* from, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return is_device(from);
  return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
}

bool writes_device(const void* to, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault) return is_device(to);
  return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
}

void check_side(const char* what, bool device, const void* data, std::size_t bytes) {
  if (device) return require_device(what, data, bytes);
  if (is_device(data))
    throw Fault(std::string(what) + ": a pointer to device memory where one to host memory belongs");
}

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
  bool to_device, from_device;

  Copy(void* to_, const void* from_, std::size_t bytes_, cudaMemcpyKind kind)
      : to(to_),
        from(from_),
        bytes(bytes_),
        to_device(writes_device(to_, kind)),
        from_device(reads_device(from_, kind)) {
    check_side("the target of a copy", to_device, to, bytes);
    check_side("the source of a copy", from_device, from, bytes);
  }
};

}  // namespace

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  const std::lock_guard guard(device_lock());
  no_capture_here("cudaMalloc");
  *data = allocate_device(bytes);
  return *data == nullptr && bytes > 0 ? cudaErrorMemoryAllocation : cudaSuccess;
}

cudaError_t cudaFree(void* data) {
  const std::lock_guard guard(device_lock());
  if (data == nullptr) return cudaSuccess;
  no_capture_here("cudaFree");
  synchronize_all();
  free_device(data);
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** data, std::size_t bytes, unsigned) {
  const std::lock_guard guard(device_lock());
  no_capture_here("cudaHostAlloc");
  *data = allocate_pinned(bytes);
  return cudaSuccess;
}

cudaError_t cudaHostRegister(void* data, std::size_t bytes, unsigned) {
  const std::lock_guard guard(device_lock());
  no_capture_here("cudaHostRegister");
  register_pinned(data, bytes);
  return cudaSuccess;
}

cudaError_t cudaHostUnregister(void* data) {
  const std::lock_guard guard(device_lock());
  no_capture_here("cudaHostUnregister");
  synchronize_all();
  return unregister_pinned(data) ? cudaSuccess : cudaErrorHostMemoryNotRegistered;
}

cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  return cudaHostAlloc(data, bytes, 0);
}

cudaError_t cudaFreeHost(void* data) {
  const std::lock_guard guard(device_lock());
  if (data == nullptr) return cudaSuccess;
  synchronize_all();
  free_pinned(data);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  const std::lock_guard guard(device_lock());
  *total = kDeviceBytes;
  *free = kDeviceBytes - device_bytes_in_use();
  return cudaSuccess;
}

// As CUDA does it: memory that is not pinned is copied to the side at once on its way to the device, and has
// arrived when the call returns on its way from there. Pinned memory is read and written later.
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const std::lock_guard guard(device_lock());
  const Copy copy(to, from, bytes, kind);
  if (!copy.from_device && !is_pinned(from, bytes)) {
    const auto* begin = static_cast<const std::byte*>(from);
    enqueue(
        stream,
        [to, staged = std::vector<std::byte>(begin, begin + bytes)] {
          std::memcpy(to, staged.data(), staged.size());
        },
        Node::copy);
    return cudaSuccess;
  }
  enqueue(
      stream, [to, from, bytes] { std::memmove(to, from, bytes); }, Node::copy);
  if (!copy.to_device && !is_pinned(to, bytes)) synchronize(stream);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  const std::lock_guard guard(device_lock());
  const Copy copy(to, from, bytes, kind);
  synchronize_all();
  const DeviceAccess access;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  const std::lock_guard guard(device_lock());
  require_device("cudaMemsetAsync", data, bytes);
  enqueue(
      stream, [=] { std::memset(data, value, bytes); }, Node::fill);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* data, int value, std::size_t bytes) {
  return cudaMemsetAsync(data, value, bytes, nullptr);
}

// As CUDA has it, each thread chooses for itself.
cudaError_t cudaGetDeviceCount(int* count) {
  *count = kGpus;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= kGpus) return cudaErrorInvalidDevice;
  chosen_gpu = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = chosen_gpu;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= kGpus) return cudaErrorInvalidDevice;
  *properties = {};
  std::strncpy(properties->name, "host emulation of CUDA", sizeof(properties->name) - 1);
  properties->totalGlobalMem = kDeviceBytes;
  properties->sharedMemPerBlock = kStaticSharedBytes;
  properties->sharedMemPerBlockOptin = kSharedBytes;
  properties->warpSize = kWarp;
  properties->maxThreadsPerBlock = 1024;
  properties->major = 8;
  properties->minor = 0;
  properties->multiProcessorCount = 4;  // few, so that small sizes take every path
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNotReady:
      return "device not ready";
    default:
      return "an error of CUDA";
  }
}

cudaError_t cudaGetLastError() {
  return cudaSuccess;
}

cudaError_t cudaPeekAtLastError() {
  return cudaSuccess;
}
