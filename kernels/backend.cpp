#include "kernels/backend.h"

#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cuda_backend.h"
#include "kernels/error.h"

namespace vitrail {

Buffer::Buffer(Backend& backend, std::size_t bytes)
    : backend_(&backend), data_(bytes == 0 ? nullptr : backend.allocate(bytes)), size_(bytes) {}

Buffer::Buffer(Buffer&& other) noexcept
    : backend_(std::exchange(other.backend_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(backend_, other.backend_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) backend_->deallocate(data_, size_);
}

void Backend::set_profiling(bool on) {
  take_marks();
  timed_.clear();
  profiling_ = on;
  profile_.clear();
}

void Backend::mark() {
  marks_.push_back(
      std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count());
}

std::vector<double> Backend::take_marks() {
  return std::exchange(marks_, {});
}

const std::map<std::string, OpTime>& Backend::profile() {
  const std::vector<double> marks = take_marks();
  for (std::size_t i = 0; i < timed_.size(); ++i)
    record(timed_[i], marks[2 * i + 1] - marks[2 * i]);
  timed_.clear();
  return profile_;
}

void Backend::record(const Timed& timed, double seconds) {
  const Work& work = timed.work;
  std::string name = timed.op;
  if (work.products.count() > 0) {
    name += " " + std::to_string(work.products.rows) + "x" + std::to_string(work.products.in) + ">" +
            std::to_string(work.products.out);
  }
  OpTime& time = profile_[name];
  time.seconds += seconds;
  ++time.calls;
  time.work.flops += work.flops;
  time.work.bytes += work.bytes;
  time.work.products = work.products;
}

namespace {

// The number of the GPU, where the device is one.
std::optional<int> gpu_of(std::string_view device) {
  constexpr std::string_view kPrefix = "cuda:";
  if (device == "cuda") return 0;
  if (!device.starts_with(kPrefix)) return std::nullopt;
  unsigned short number = 0;  // no sign
  const char* end = device.data() + device.size();
  const auto [stop, error] = std::from_chars(device.data() + kPrefix.size(), end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

std::unique_ptr<Backend> make_any_backend(const BackendOptions& options) {
  try {
    return cuda::make_cuda_backend(0);
  } catch (const Error&) {  // no GPU
    return cpu::make_cpu_backend(options);
  }
}

}  // namespace

std::unique_ptr<Backend> make_backend(const std::string& device, const BackendOptions& options) {
  if (device == "cpu") return cpu::make_cpu_backend(options);
  if (device == "auto") return make_any_backend(options);
  if (const std::optional<int> gpu = gpu_of(device)) return cuda::make_cuda_backend(*gpu);
  throw Error("device: expected cpu, cuda, cuda:N (N: the number of a GPU, from 0) or auto, found \"" +
              device + "\"");
}

}  // namespace vitrail
