#pragma once
// Device memory and pinned memory of the emulation. Device memory is host memory that the host cannot touch:
// outside of kernels and copies its pages are closed, so host code that follows a device pointer crashes as
// it would with a GPU. It is poisoned (0xFF, NaN) when it is handed out, ends close to a page that nobody may
// touch, and guard bytes fill what lies between.

#include <cstddef>

namespace cuda_emulation {

// The device has this much memory; cudaMalloc fails beyond it.
inline constexpr std::size_t kDeviceBytes = std::size_t{4} << 30;

std::byte* allocate_device(std::size_t bytes);  // null when there is no more; 256-byte aligned
void free_device(void* data);                   // throws Fault when it is not the beginning of an allocation
std::size_t device_bytes_in_use();

std::byte* allocate_pinned(std::size_t bytes);
void free_pinned(void* data);
void register_pinned(void* data, std::size_t bytes);  // memory of somebody else
bool unregister_pinned(void* data);                   // false when it was not registered
bool is_pinned(const void* data, std::size_t bytes);

bool is_device(const void* data);                        // points into device memory
bool holds_device(const void* data, std::size_t bytes);  // all in one allocation of device memory
// Throws Fault unless all the bytes lie in one allocation of device memory; `what` says who wants them.
void require_device(const char* what, const void* data, std::size_t bytes);

// Throws Fault when a kernel wrote beside an allocation.
void check_guards(const char* kernel);
void mend_guards();  // after a kernel that ended in another fault

// While one lives, device memory is open and a wrong access inside a kernel becomes a Fault.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
  DeviceAccess(const DeviceAccess&) = delete;
  DeviceAccess& operator=(const DeviceAccess&) = delete;
};

[[noreturn]] void abandon_for_signal(int signal, const void* address);  // grid.cpp

}  // namespace cuda_emulation
