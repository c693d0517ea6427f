#pragma once
// Everything a device must do. run(op) checks the op's contract once and calls the device's execute; a device
// that lacks an op does not compile. A backend owns its threads, handles and workspace; there are no globals.

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "kernels/each_op.h"
#include "kernels/work.h"

namespace vitrail {

class Backend;

// Device memory, 4096-byte aligned, zero-filled; freed with the object. Movable, never copied by accident.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Backend& backend, std::size_t bytes);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }  // bytes

 private:
  Backend* backend_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

struct BackendOptions {
  int threads = 0;            // 0: one per core this process may use
  std::string gemm = "auto";  // auto | vitrail | onednn | eigen (f32 products on the CPU; onednn: bf16 too)
  std::string isa = "auto";   // auto | avx2 | avx512 (the CPU's vector code)
  bool pin = false;           // each thread of the CPU but the caller's stays on a core of its own
};

// What was chosen, for the first screen of a run.
struct BackendInfo {
  std::string device;      // "cpu"
  std::string name;        // the processor's own name
  std::string isa;         // vector instructions in use
  std::string gemm;        // who multiplies matrices
  std::string bf16 = {};   // who multiplies those of bf16
  bool fast_bf16 = false;  // by instructions made for it: faster than f32
  int threads = 1;
};

// Time spent in one kind of op since profiling began, and what it had to do in that time.
struct OpTime {
  double seconds = 0;
  std::int64_t calls = 0;
  Work work;  // flops and bytes of all calls; the products of one
};

// What a device can do at most, with all of its threads; 0: not known.
struct DevicePeak {
  double f32_flops = 0, f64_flops = 0, bf16_flops = 0;  // a second
  double memory_bytes = 0;                              // a second, read or written

  double flops(DType dtype) const {
    return dtype == DType::f32    ? f32_flops
           : dtype == DType::f64  ? f64_flops
           : dtype == DType::bf16 ? bf16_flops
                                  : 0;
  }
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual BackendInfo info() const = 0;

  virtual void zero(Out view) = 0;
  virtual void copy(Out to, In from) = 0;                                 // device to device
  virtual void upload(Out to, const void* from, std::size_t bytes) = 0;   // host to device
  virtual void download(void* to, In from, std::size_t bytes) const = 0;  // device to host
  // Where the host can read the view as it stands; null on a device with memory of its own.
  virtual const std::byte* host_bytes(In view) const = 0;

  // Throws Error when the op's contract is broken or the device cannot compute in the op's dtype.
  template <class Op>
  void run(const Op& op) {
    op.check();
    if (!profiling_) return execute(op);
    const double start = now();
    execute(op);
    record(Op::kName, now() - start, work_of(op));
  }

  void set_profiling(bool on);  // forgets earlier times
  // By the op's name; linear ops by their shape too: "linear_forward 6304x192>576" (rows x in > out).
  const std::map<std::string, OpTime>& profile() const { return profile_; }

  // Measured now, in about a fifth of a second.
  virtual DevicePeak measure_peak() { return {}; }

 protected:
  friend class Buffer;
  virtual std::byte* allocate(std::size_t bytes) = 0;
  virtual void deallocate(std::byte* data, std::size_t bytes) noexcept = 0;

#define VITRAIL_OP(Op) virtual void execute(const Op& op) = 0;
  VITRAIL_EACH_OP(VITRAIL_OP)
#undef VITRAIL_OP

 private:
  static double now();
  void record(const char* op, double seconds, const Work& work);

  bool profiling_ = false;
  std::map<std::string, OpTime> profile_;
};

// device: "cpu", "cuda" (the first GPU), "cuda:N" (GPU number N, from 0) or "auto" (the first GPU where this
// build and machine have one, else the CPU). Throws Error, naming what is missing, when there is no such
// device.
std::unique_ptr<Backend> make_backend(const std::string& device, const BackendOptions& options = {});

}  // namespace vitrail
