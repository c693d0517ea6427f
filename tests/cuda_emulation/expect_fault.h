#pragma once
// For the tests of the emulation: arrays on both sides, and faults that must come.

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/cuda_emulation/fault.h"

namespace cuda_emulation {

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t count) : host(count) {
    void* data = nullptr;
    cudaMalloc(&data, bytes());
    device_ = static_cast<T*>(data);
  }
  DeviceArray(std::size_t count, T value) : DeviceArray(count) {
    host.assign(count, value);
    upload();
  }
  ~DeviceArray() { cudaFree(device_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* device() const { return device_; }
  std::size_t bytes() const { return host.size() * sizeof(T); }
  void upload() { cudaMemcpy(device_, host.data(), bytes(), cudaMemcpyHostToDevice); }
  void download() { cudaMemcpy(host.data(), device_, bytes(), cudaMemcpyDeviceToHost); }

  std::vector<T> host;

 private:
  T* device_ = nullptr;
};

// `run` ends in a Fault whose text has all of `parts`.
inline void expect_fault(const std::function<void()>& run, const std::vector<std::string>& parts) {
  std::string text = "no fault";
  try {
    run();
  } catch (const Fault& fault) {
    text = fault.what();
  }
  CAPTURE(text);
  for (const std::string& part : parts) {
    CAPTURE(part);
    CHECK(text.find(part) != std::string::npos);
  }
}

}  // namespace cuda_emulation
